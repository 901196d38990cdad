// A picture at full size, with what it was made with.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { learnSize } from './catalog.js';
import { settingsOf } from './form.js';
import { job, pictures } from './gallery-data.js';
import { mark } from './gallery.js';
import { open } from './picker.js';
import { blob, save, shown } from './picture-cache.js';
import { remove } from './runs.js';
import { replace } from './settings.js';
import { startFrom } from './source.js';
import { change, state } from './store.js';
import { toast } from './toast.js';
import { when } from './words.js';

export function viewerDialog(close) {
  const list = pictures(state.gallery.runs);
  const at = list.findIndex((p) => p.key === state.dialog.key);
  if (at < 0) return html`<div class="viewer"><p class="note">The picture is on its way …</p>
    <button @click=${close}>Close</button></div>`;
  const picture = list[at];
  const run = state.gallery.runs.find((r) => r.id === picture.run);
  const go = (n) => () => turn(n);
  return html`<div class="viewer">
    <figure><img src=${shown(picture.url) || nothing} alt=${picture.prompt}></figure>
    <div class="about">
      <div class="head"><h2>Seed ${picture.seed}</h2>
        <span><button type="button" class="icon" aria-label="Newer picture" ?disabled=${at === 0} @click=${go(-1)}>←</button>
        <button type="button" class="icon" aria-label="Older picture" ?disabled=${at === list.length - 1} @click=${go(1)}>→</button>
        <button type="button" class="icon" aria-label="Close" @click=${close}>✕</button></span></div>
      <p class="prompt">${picture.prompt}</p>
      ${facts(run, picture)}
      <div class="buttons">
        <button type="button" class="primary" autofocus @click=${() => save(picture.url, picture.name)}>Download</button>
        <button type="button" @click=${() => { useSettings(run, picture); close(); }}>Use its settings</button>
        <button type="button" @click=${() => useAsStart(picture).then(close)}>Start from it</button>
        <button type="button" aria-pressed=${state.compare.includes(picture.key)} @click=${() => mark(picture.key)}>Compare</button>
        <button type="button" class="danger" @click=${() => ask(run, close)}>Delete</button>
      </div>
      ${(run.warnings ?? []).map((w) => html`<p class="warning">${w}</p>`)}
    </div></div>`;
}

/** turn goes to another picture of the gallery. */
export function turn(by) {
  const list = pictures(state.gallery.runs);
  const next = list[list.findIndex((p) => p.key === state.dialog.key) + by];
  if (next) change((s) => { s.dialog = { ...s.dialog, key: next.key }; });
}

function facts(run, picture) {
  const j = job(run, picture.job);
  const rows = [['Made', when(run.ended ?? run.created)], ['Model', run.model], ['Size', j.width && `${j.width} × ${j.height}`],
    ['Steps', j.num_inference_steps], ['Guidance', j.guidance_scale], ['Sampler', j.scheduler], ['Not in it', j.negative_prompt],
    ['Adapters', j.lora?.map((a) => `${a.name} ${a.weight ?? 1}`).join(', ')],
    ['ControlNets', j.controlnet?.map((c) => c.model).join(', ')]];
  return html`<dl>${rows.filter(([, v]) => v).map(([k, v]) => html`<dt>${k}</dt><dd>${v}</dd>`)}</dl>`;
}

function useSettings(run, picture) {
  const j = job(run, picture.job);
  replace(settingsOf(run, picture));
  learnSize();
  const notes = [];
  if (j.init_image) notes.push('It was started from a picture. Choose it under "Start from a picture".');
  if (j.controlnet?.length) notes.push('Its ControlNets are left out: choose their pictures again.');
  toast('These are its settings.', { notes });
}

async function useAsStart(picture) {
  startFrom(await open(await blob(picture.url), picture.name));
}

function ask(run, close) {
  const n = run.pictures.length;
  const words = n === 1 ? 'Delete this picture for good?' : `Delete the ${n} pictures that were made together for good?`;
  if (!confirm(words)) return;
  remove(run.id);
  close();
}
