// Two pictures over each other, with a border that can be moved, and in what their settings differ.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { job, pictures } from './gallery-data.js';
import { shown } from './picture-cache.js';
import { change, state } from './store.js';

export function compareDialog(close) {
  const list = pictures(state.gallery.runs);
  const [left, right] = state.compare.map((key) => list.find((p) => p.key === key));
  if (!left || !right) {
    return html`<div class="compare"><p class="note">The pictures are not here any more.</p><button @click=${close}>Close</button></div>`;
  }
  const border = state.dialog.border ?? 50;
  return html`<div class="compare">
    <div class="head"><h2>Compare</h2><button type="button" class="icon" aria-label="Close" @click=${close}>✕</button></div>
    <div class="both" .style=${`--border: ${border}%`}>
      <img src=${shown(left.url) || nothing} alt=${`Left: ${left.prompt}, seed ${left.seed}`}>
      <img class="over" src=${shown(right.url) || nothing} alt=${`Right: ${right.prompt}, seed ${right.seed}`}>
    </div>
    <label class="border">Border <input type="range" min="0" max="100" autofocus .value=${String(border)}
      @input=${(e) => change((s) => { s.dialog = { ...s.dialog, border: Number(e.target.value) }; })}></label>
    ${differences(left, right)}
  </div>`;
}

function differences(left, right) {
  const settings = (p) => ({ ...job(state.gallery.runs.find((r) => r.id === p.run), p.job), seed: p.seed });
  const [a, b] = [settings(left), settings(right)];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort().filter((k) => JSON.stringify(a[k]) !== JSON.stringify(b[k]));
  if (!keys.length) return html`<p class="note">Their settings are the same.</p>`;
  return html`<table><caption>What differs</caption>
    <thead><tr><th scope="col">Setting</th><th scope="col">Left</th><th scope="col">Right</th></tr></thead>
    <tbody>${keys.map((k) => html`<tr><th scope="row">${k}</th><td>${write(a[k])}</td><td>${write(b[k])}</td></tr>`)}</tbody></table>`;
}

const write = (v) => (v === undefined ? '–' : typeof v === 'string' ? v : JSON.stringify(v));
