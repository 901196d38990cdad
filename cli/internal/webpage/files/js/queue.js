// The queue: what is in work and what waits, with the time until each has ended.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { cancel, first, show, waits } from './runs.js';
import { state } from './store.js';
import { about } from './words.js';

export function queue() {
  const { queue: runs, live, gallery } = state;
  if (runs.length < 2 && (runs.length === 0 || runs[0].id === state.focus)) return nothing;
  const until = waits(runs, live, gallery.runs);
  return html`<section class="queue" aria-labelledby="queue-title"><h2 id="queue-title">Queue</h2>
    <ol>${repeat(runs, (r) => r.id, (run, i) => line(run, until[i]))}</ol></section>`;
}

function line(run, seconds) {
  const p = state.live[run.id]?.progress;
  const pictures = run.images === 1 ? '1 picture' : `${run.images} pictures`;
  const time = seconds === undefined ? '' : `, ready in about ${about(seconds)}`;
  const { prompt } = state.live[run.id] ?? {}; // of runs that this page has submitted
  const name = prompt ? `${prompt.slice(0, 60)}${prompt.length > 60 ? ' …' : ''}` : `Seed ${run.seeds?.[0]}`;
  return html`<li class=${run.id === state.focus ? 'shown' : ''}>
    <button type="button" class="link name" @click=${() => show(run.id)}>${name}</button>
    <span class="note">${pictures}, ${run.state === 'running' ? 'in work' : 'waits'}${time}</span>
    ${run.state === 'running' ?
    html`<progress aria-label=${`Progress of ${name}`} max="1" .value=${p?.total ? p.done / p.total : 0}></progress>` :
    html`<button type="button" class="link" aria-label=${`Make ${name} first`} @click=${() => first(run.id)}>First</button>`}
    <button type="button" class="icon" aria-label=${`Cancel ${name}`} title="Cancel" @click=${() => cancel(run.id)}>✕</button></li>`;
}
