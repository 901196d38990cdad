// Choosing, saving and deleting presets.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { list, remove, save, taken } from './presets.js';
import { useWay, way } from './settings.js';
import { change, state } from './store.js';
import { toast } from './toast.js';

const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());

export function presets() {
  const now = way(state.settings);
  const all = list();
  const chosen = all.find((p) => same(p.settings, now));
  return html`<div class="field"><div class="label"><label for="preset">Preset</label>
      <span class="links">
        <button type="button" class="link" @click=${() => change((s) => { s.dialog = { kind: 'preset' }; })}>Save …</button>
        ${chosen?.mine ? html`<button type="button" class="link" @click=${() => drop(chosen.name)}>Delete</button>` : nothing}
      </span></div>
    <select id="preset" @change=${(e) => useWay(all[Number(e.target.value)].settings)}>
      ${chosen ? nothing : html`<option value="" selected disabled>your own settings</option>`}
      ${all.map((p, i) => html`<option value=${i} .selected=${p === chosen}>${p.name}</option>`)}
    </select></div>`;
}

function drop(name) {
  remove(name);
  toast(`The preset ${name} is deleted. Your settings stay as they are.`);
}

/** presetDialog asks for the name of a new preset. */
export function presetDialog(close) {
  const submit = (e) => {
    e.preventDefault();
    const name = new FormData(e.target).get('name').trim();
    if (!name) return;
    if (taken(name)) {
      toast('This name is one of the page\'s own presets. Choose another one.', { bad: true });
      return;
    }
    save(name, way(state.settings));
    toast(`Saved as ${name}, in this browser.`);
    close();
  };
  return html`<form class="ask" @submit=${submit}>
    <h2>Save a preset</h2>
    <p class="note">It keeps size, steps, sampler and the like. Prompt, seed and pictures are not part of it.</p>
    <label for="preset-name">Name</label>
    <input id="preset-name" name="name" type="text" maxlength="60" required autofocus>
    <div class="buttons"><button type="button" @click=${close}>Cancel</button><button class="primary">Save</button></div>
  </form>`;
}
