// The form: what the picture shows, and how it is made.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { adapters } from './adapters.js';
import { controls } from './control.js';
import { choice, number, text } from './fields.js';
import { job } from './gallery-data.js';
import { presets } from './presets-view.js';
import { make } from './runs.js';
import { samePlace, set } from './settings.js';
import { source } from './source.js';
import { state } from './store.js';

export function form() {
  const { settings } = state;
  return html`<form class="form" aria-label="Settings" @submit=${(e) => { e.preventDefault(); make(); }} novalidate>
    <div class="fields">
      ${text('prompt', 'Prompt', { rows: 4, placeholder: 'What should the picture show?' })}
      ${text('negative_prompt', 'Negative prompt', { rows: 2, placeholder: 'What must not be in it?' })}
      ${styles()}
      ${presets()}
      ${models()}
      ${size()}
      ${number('num_inference_steps', 'Steps', { soft: [1, 80, 1], fallback: 30, placeholder: 'auto' })}
      ${number('guidance_scale', 'Guidance', { soft: [1, 20, 0.5], fallback: 5, placeholder: 'auto' })}
      ${choice('scheduler', 'Sampler', { options: schedulers() })}
      <div class="row">
        ${seed()}
        ${number('num_images', 'Pictures')}
      </div>
      ${section('Start from a picture', state.start ? 'on' : '', source())}
      ${section('Adapters', count(settings.lora), adapters())}
      ${section('ControlNet', count(settings.controlnet), controls())}
      ${section('Second, larger pass', settings.hires?.scale ? 'on' : '', hires())}
      ${section('More settings', others() === nothing ? '' : 'on', more())}
    </div>
    <div class="send">
      ${unplaced().map((p) => html`<p class="mistake" role="alert">${p.path ? html`<b>${p.path}</b>: ` : nothing}${p.message}</p>`)}
      <button class="primary" type="submit" ?disabled=${state.sending}>${state.sending ? 'Sending …' : label()}</button>
    </div>
  </form>`;
}

const label = () => (state.settings.num_images > 1 ? `Make ${state.settings.num_images} pictures` : 'Make a picture');
const count = (list) => (list?.length ? String(list.length) : '');

/** section is a part that can be closed. mark tells, when it is closed, that something in it is used. */
function section(title, mark, content) {
  return html`<details class="section"><summary>${title}${mark ? html`<span class="mark">${mark}</span>` : nothing}</summary>
    <div class="inside">${content}</div></details>`;
}

/** unplaced are the mistakes that belong to no field on the page. */
function unplaced() {
  return state.problems.filter((p) => !document.getElementById(`field-${place(p.path)}`));
}

const place = (path) => path.replace(/^jobs?\[0\]\./, '').replace(/\[(\d+)\]/g, '.$1').replaceAll('.', '-');

function models() {
  const { models: list } = state.catalog;
  if (list.length < 2) return nothing;
  const now = state.settings.model ?? list[0].name;
  const wrong = state.problems.some((p) => samePlace(p.path, 'model') || samePlace(p.path, 'model.model'));
  return html`<div class=${wrong ? 'field wrong' : 'field'}><div class="label"><label for="field-model">Model</label></div>
    <select id="field-model" @change=${(e) => set('model', e.target.value)}>
      ${list.map((m) => html`<option .selected=${m.name === now} value=${m.name}>${m.name}</option>`)}
    </select></div>`;
}

/** styles are the server's additions to prompts, by their names. */
function styles() {
  const used = state.settings.styles ?? [];
  const names = [...state.catalog.styles, ...used.filter((n) => !state.catalog.styles.includes(n))];
  const wrong = state.problems.filter((p) => samePlace(p.path, 'styles'));
  if (!names.length) return nothing;
  const turn = (name) => {
    const left = used.filter((n) => n !== name);
    set('styles', left.length === used.length ? [...used, name] : left.length ? left : undefined);
  };
  return html`<div id="field-styles" class=${wrong.length ? 'field wrong' : 'field'}>
    <div class="chips" role="group" aria-label="Styles"><span class="note">Styles</span>
      ${names.map((name) => html`<button type="button" class="chip" aria-pressed=${used.includes(name)}
        @click=${() => turn(name)}>${name}</button>`)}</div>
    ${wrong.map((p) => html`<p class="mistake">${p.message}</p>`)}</div>`;
}

const schedulers = () => state.catalog.schedulers.flatMap((s) => [s.name.replace(/Scheduler$/, ''), ...s.aliases])
  .map((name) => [name, name]);

const shapes = [['Square', 1, 1], ['Portrait', 3, 4], ['Tall', 9, 16], ['Landscape', 4, 3], ['Wide', 16, 9]]; // name, width : height

/** size chooses width and height. The shapes have about as many pixels as the model's own size. */
function size() {
  const { width, height } = state.settings;
  const base = state.size?.base;
  const from = state.start ? 'as the picture' : base ? String(base.width) : "the model's";
  const fits = (w, h) => {
    const side = Math.sqrt(base.width * base.height / (w * h));
    return [w, h].map((n) => Math.max(8, Math.round(side * n / 8) * 8));
  };
  const shape = ([name, w, h]) => {
    const [wide, high] = fits(w, h);
    return html`<button type="button" class="chip" aria-label=${name} title=${`${name}, ${wide} × ${high}`}
      aria-pressed=${width === wide && height === high} @click=${() => { set('width', wide); set('height', high); }}>${w}:${h}</button>`;
  };
  return html`<fieldset class="size"><legend>Size</legend>
    ${base ? html`<div class="chips">${shapes.map(shape)}</div>` : nothing}
    <div class="row">
      ${number('width', 'Width', { placeholder: from })}
      <button type="button" class="icon swap" aria-label="Swap width and height" title="Swap width and height"
        @click=${() => { set('width', height); set('height', width); }}>⇄</button>
      ${number('height', 'Height', { placeholder: state.start ? from : base ? String(base.height) : from })}
    </div></fieldset>`;
}

function seed() {
  const last = state.gallery.runs.find((r) => r.pictures?.length);
  return html`<div>${number('seed', 'Seed', { placeholder: 'random' })}
    <div class="links under-field">
      <button type="button" class="link" ?disabled=${state.settings.seed === undefined} @click=${() => set('seed', undefined)}>
        Random</button>
      <button type="button" class="link" ?disabled=${!last} @click=${() => set('seed', last.pictures[0].seed)}>Last</button>
    </div></div>`;
}

function hires() {
  return html`<p class="note">The picture is made small first, then enlarged and painted over.
      This gives large pictures with one subject.</p>
    ${number('hires.scale', 'Scale', { soft: [1, 4, 0.25], placeholder: 'off' })}
    ${number('hires.strength', 'How much may change', { soft: [0.05, 1, 0.05] })}
    ${number('hires.steps', 'Steps', { placeholder: 'as above' })}
    ${choice('hires.upscaler', 'Enlarge with', { none: 'what fits' })}`;
}

function more() {
  const { upscalers, refiners, vaes } = state.catalog;
  return html`
    ${choice('sigmas', 'Noise spacing', { options: ['karras', 'exponential', 'beta', 'sgm_uniform', 'simple', 'ays', 'gits'],
    none: "the sampler's" })}
    ${number('guidance_rescale', 'Guidance rescale', { soft: [0, 1, 0.05] })}
    ${number('clip_skip', 'CLIP skip')}
    ${choice('seamless', 'Seamless', { none: 'no', options: [['x', 'left and right'], ['y', 'top and bottom'], ['both', 'all sides']] })}
    ${text('prompt_2', 'Prompt for the second text encoder', { placeholder: 'as above' })}
    ${text('negative_prompt_2', 'Negative prompt for the second text encoder', { placeholder: 'as above' })}
    ${choice('prompt_syntax', 'Prompt syntax')}
    ${choice('rng', 'Random numbers')}
    ${named('vae', 'VAE', vaes)} ${named('refiner', 'Refiner', refiners)} ${named('upscaler', 'Upscaler', upscalers)}
    ${refiners.length ? html`${choice('refiner_mode', 'How the refiner works')}
      ${number('refiner_start', 'Refiner from', { soft: [0, 1, 0.05] })}
      ${number('refiner_strength', 'How much the refiner may change', { soft: [0.05, 1, 0.05] })}` : nothing}
    ${number('max_batch', 'Largest batch', { placeholder: 'what fits' })}
    ${state.size?.memory ? html`<p class="note">Memory: ${state.size.memory}.</p>` : nothing}
    ${others()}`;
}

// Settings that have a place in the form. Others can come with a picture.
const placed = ['prompt', 'prompt_2', 'negative_prompt', 'negative_prompt_2', 'prompt_syntax', 'width', 'height', 'num_images', 'seed',
  'rng', 'num_inference_steps', 'guidance_scale', 'guidance_rescale', 'scheduler', 'sigmas', 'clip_skip', 'strength', 'mask_channel',
  'hires',
  'seamless', 'lora', 'controlnet', 'max_batch', 'model', 'vae', 'refiner', 'upscaler', 'refiner_mode', 'refiner_start', 'refiner_strength',
  'inpaint', 'styles'];

/** others shows the settings that have no place in the form, so that none acts unseen. */
function others() {
  const keys = Object.keys(state.settings).filter((k) => !placed.includes(k) && state.settings[k] !== undefined);
  if (!keys.length) return nothing;
  return html`<div class="others"><p class="note">Also set, by a picture:</p><ul>${keys.map((key) => html`<li>
    <span><code>${key}</code> ${typeof state.settings[key] === 'object' ? '' : String(state.settings[key])}</span>
    <button type="button" class="link" aria-label=${`Forget ${key}`}
      @click=${() => set(key, undefined)}>Forget</button></li>`)}</ul></div>`;
}

/** named is one of the server's files that replaces a part of the model. They are left out where the server has none. */
function named(key, label, names) {
  if (!names.length) return nothing;
  const now = state.settings[key];
  return html`<div class="field"><div class="label"><label for=${`field-${key}`}>${label}</label></div>
    <select id=${`field-${key}`} @change=${(e) => set(key, e.target.value)}><option value="">the model's</option>
      ${names.map((n) => html`<option value=${n} .selected=${n === now}>${n}</option>`)}</select></div>`;
}

/** settingsOf is the settings of a finished picture, as the form has them. What they need pictures for is left out. */
export function settingsOf(run, picture) {
  const { init_image: start, mask_image: mask, controlnet, output, max_batch: batch, ...rest } = job(run, picture.job);
  const model = typeof rest.model === 'object' ? rest.model : { model: rest.model };
  const { model: name, ...parts } = model;
  return { ...rest, ...parts, model: name, seed: picture.seed, num_images: undefined, jobs: undefined };
}
