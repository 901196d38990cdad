// Fields of the form. Bounds, defaults and explanations are the schema's; an empty field has its default.

import { html, noChange, nothing } from '../vendor/lit-html/lit-html.js';
import { live } from '../vendor/lit-html/directives/live.js';
import { bounds } from './catalog.js';
import { samePlace, set, value } from './settings.js';
import { change, state } from './store.js';

const idOf = (path) => `field-${path.replaceAll('.', '-')}`;
const schemaPath = (path) => path.replace(/\.\d+/g, '');

/** frame puts the label, the help and the mistakes around a field. */
function frame(path, label, control) {
  const id = idOf(path);
  const help = bounds(schemaPath(path))?.description;
  const open = state.help.has(path);
  const wrong = state.problems.filter((p) => samePlace(p.path, path));
  return html`<div class=${wrong.length ? 'field wrong' : 'field'}>
    <div class="label">
      <label for=${id}>${label}</label>
      ${help ? html`<button type="button" class="hint" aria-expanded=${open} aria-label=${`What is ${label}?`}
        @click=${() => change((s) => { if (!s.help.delete(path)) s.help.add(path); })}>?</button>` : nothing}
    </div>
    ${control(id, wrong.length ? `${id}-wrong` : open ? `${id}-help` : nothing)}
    ${open ? html`<p class="help" id=${`${id}-help`}>${sentence(help)}</p>` : nothing}
    ${wrong.length ? html`<p class="mistake" id=${`${id}-wrong`}>${wrong.map((p) => sentence(p.message)).join(' ')}</p>` : nothing}
  </div>`;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.?!]$/.test(text) ? '' : '.');

/** toNumber reads what is written in a field of a number. */
export const toNumber = (text) => (text === '' ? undefined : Number(text));

/** written is the text of a field of a number. While somebody writes there, the field keeps what is written: "1." is on its way to 1.5. */
export const written = (id, now) => (document.activeElement?.id === id ? noChange : live(String(now ?? '')));

/** number is a number, with a slider over its usual range where soft is given: [min, max, step]. */
export function number(path, label, { soft, placeholder, fallback } = {}) {
  const b = bounds(schemaPath(path));
  const step = b.multipleOf ?? (b.type === 'integer' ? 1 : 'any');
  const now = value(path);
  const start = fallback ?? b.default ?? soft?.[0];
  return frame(path, label, (id, described) => html`<div class="number">
    ${soft ? html`<input type="range" aria-label=${`${label}, slider`} tabindex="-1" min=${soft[0]} max=${soft[1]} step=${soft[2]}
      .value=${live(String(now ?? start))} @input=${(e) => set(path, Number(e.target.value))}>` : nothing}
    <input id=${id} type="number" inputmode="decimal" min=${b.minimum ?? nothing} max=${b.maximum ?? nothing} step=${step}
      placeholder=${placeholder ?? b.default ?? ''} aria-describedby=${described} .value=${written(id, now)}
      @input=${(e) => set(path, toNumber(e.target.value))}>
  </div>`);
}

/** text is a text. rows above 1: of several lines. */
export function text(path, label, { rows = 1, placeholder = '', autofocus = false } = {}) {
  return frame(path, label, (id, described) => (rows > 1 ? html`<textarea id=${id} rows=${rows} placeholder=${placeholder}
      aria-describedby=${described} ?autofocus=${autofocus} .value=${live(value(path) ?? '')}
      @input=${(e) => set(path, e.target.value)}></textarea>` : html`<input id=${id} type="text" placeholder=${placeholder}
      aria-describedby=${described} .value=${live(value(path) ?? '')} @input=${(e) => set(path, e.target.value)}>`));
}

/** choice is one of several values; options are texts or [value, label]. The first entry stands for the default, unless none is false. */
export function choice(path, label, { options, none } = {}) {
  const b = bounds(schemaPath(path));
  const now = value(path);
  const list = (options ?? b.enum).map((o) => (Array.isArray(o) ? o : [o, o]));
  if (now !== undefined && !list.some(([v]) => v === now)) list.push([now, now]);
  const empty = none ?? (b.default === undefined ? "the model's" : `${b.default} (default)`);
  return frame(path, label, (id, described) => html`<select id=${id} aria-describedby=${described}
      @change=${(e) => set(path, e.target.value)}>
    ${empty === false ? nothing : html`<option value="" ?selected=${now === undefined}>${empty}</option>`}
    ${list.map(([v, l]) => html`<option value=${v} .selected=${v === now}>${l}</option>`)}
  </select>`);
}

/** tick is a yes or no. */
export function tick(path, label) {
  const b = bounds(schemaPath(path));
  return frame(path, label, (id, described) => html`<input id=${id} type="checkbox" aria-describedby=${described}
    .checked=${live(value(path) ?? b.default ?? false)} @change=${(e) => set(path, e.target.checked)}>`);
}

/** table has a field for each key of a table, as the schema knows them; nothing where it knows no such table. */
export function table(path) {
  return Object.entries(bounds(path)?.properties ?? {}).map(([key, b]) => {
    const [at, label] = [`${path}.${key}`, key.replaceAll('_', ' ').replace(/^./, (c) => c.toUpperCase())];
    if (b.type === 'boolean') return tick(at, label);
    if (b.enum) return choice(at, label);
    return b.type === 'string' ? text(at, label) : number(at, label);
  });
}
