// The adapters of a run: their weights, and the words that call them up.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { adapterInfo } from './catalog.js';
import { number } from './fields.js';
import { set } from './settings.js';
import { state } from './store.js';

export function adapters() {
  const names = state.catalog.adapters;
  const used = state.settings.lora ?? [];
  if (!names.length && !used.length) {
    return html`<p class="note">This server has no adapters. Whoever runs it can add a folder:
      <code>daguerre serve --lora-dir FOLDER</code>.</p>`;
  }
  const free = names.filter((n) => !used.some((a) => a.name === n));
  return html`${used.map(entry)}
    ${free.length ? html`<label class="add"><span>Add an adapter</span>
      <select id="add-adapter" @change=${(e) => { add(e.target.value); e.target.value = ''; }}>
        <option value="">choose …</option>${free.map((n) => html`<option value=${n}>${n}</option>`)}
      </select></label>` : nothing}`;
}

function add(name) {
  if (name) set('lora', [...(state.settings.lora ?? []), { name, weight: 1 }]);
}

function entry(adapter, index) {
  const info = adapterInfo(adapter.name);
  return html`<div class="card">
    <div class="head"><strong>${info?.title || adapter.name}</strong>
      <button type="button" class="icon" aria-label=${`Remove ${adapter.name}`}
        @click=${() => set('lora', state.settings.lora.filter((a) => a !== adapter))}>✕</button></div>
    ${info?.error ? html`<p class="mistake">${info.error}</p>` : nothing}
    ${number(`lora.${index}.weight`, 'Weight', { soft: [-1, 2, 0.05] })}
    ${info?.trigger_words?.length ? html`<div class="chips" role="group" aria-label=${`Trigger words of ${adapter.name}`}>
      <span class="note">Trigger words</span>
      ${info.trigger_words.map((word) => html`<button type="button" class="chip" aria-pressed=${says(word)}
        title=${says(word) ? 'It is in the prompt' : 'Put it into the prompt'}
        @click=${() => say(word)}>${word}</button>`)}</div>` : nothing}
    ${info?.applies ? html`<p class="note">${describe(info)}</p>` : nothing}
  </div>`;
}

const says = (word) => (state.settings.prompt ?? '').toLowerCase().includes(word.toLowerCase());

function say(word) {
  if (says(word)) return;
  const prompt = (state.settings.prompt ?? '').trim();
  set('prompt', prompt ? `${prompt}, ${word}` : word);
}

function describe(info) {
  const kind = info.algorithms.join(', ');
  const ranks = info.ranks?.length ? `, rank ${info.ranks.join(', ')}` : '';
  return `${kind}${ranks}. ${info.applies}.${info.author ? ` By ${info.author}.` : ''}`;
}
