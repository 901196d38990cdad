// The stage: the run that is being watched, with its pictures as they grow.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { lost, shown } from './picture-cache.js';
import { cancel } from './runs.js';
import { change, state } from './store.js';
import { about } from './words.js';

export function stage() {
  const run = state.queue.find((r) => r.id === state.focus) ?? state.gallery.runs.find((r) => r.id === state.focus);
  const live = state.live[state.focus];
  if (!run && !live) return empty();
  const ended = live?.end?.state ?? (['done', 'failed', 'cancelled'].includes(run?.state) ? run.state : '');
  return html`<section class="stage" aria-label="Picture in work">
    ${tiles(run, live, ended)}
    <div class="under">
      ${ended ? outcome(ended, run, live) : progress(run, live)}
    </div>
    ${(live?.warnings ?? run?.warnings ?? []).map((w) => html`<p class="warning">${w}</p>`)}
  </section>`;
}

function empty() {
  return html`<section class="stage empty" aria-label="Picture in work">
    <div><h2>No picture yet</h2>
      <p>Write what it should show, and press <b>Make a picture</b>. It appears here while it is made.</p>
      <p class="note">Drop a picture onto the page to take back the settings that it was made with.</p></div>
  </section>`;
}

function tiles(run, live, ended) {
  const count = Math.min(run?.images ?? 1, 16);
  const list = [];
  const keys = run?.pictures?.length && ended ? run.pictures.map((p) => `${p.job}.${p.index}`) :
    Array.from({ length: count }, (_, i) => `0.${i}`);
  for (const key of keys.slice(0, 16)) list.push(tile(run, live, key, ended));
  return html`<div class=${`tiles n${list.length > 4 ? 'many' : list.length}`}>${list}</div>`;
}

function tile(run, live, key, ended) {
  const [job, index] = key.split('.');
  const done = live?.pictures[key] ?? run?.pictures?.find((p) => `${p.job}.${p.index}` === key);
  const preview = live?.previews[key];
  if (done) {
    const url = done.url ?? `/v1/runs/${state.focus}/pictures/${job}/${index}`;
    const address = shown(url);
    return html`<button type="button" class="tile" aria-label=${`Open picture ${Number(index) + 1}, seed ${done.seed}`}
      @click=${() => change((s) => { s.dialog = { kind: 'viewer', key: `${s.focus}/${key.replace('.', '/')}` }; })}>
      ${address || preview ? html`<img class=${address ? '' : 'growing'} src=${address || preview} alt="">` : nothing}
      ${lost(url) ? html`<span class="note">This picture cannot be read.</span>` : nothing}</button>`;
  }
  if (preview) return html`<div class="tile"><img class="growing" src=${preview} alt=${`Preview of picture ${Number(index) + 1}`}></div>`;
  return html`<div class="tile waiting">${ended ? html`<span class="note">not made</span>` : nothing}</div>`;
}

const stages = { text: 'Reading the prompt', encode: 'Reading the picture', denoise: 'Painting', decode: 'Developing' };

function progress(run, live) {
  const p = live?.progress;
  const waiting = !p && run?.state !== 'running';
  const ahead = run?.ahead ? ` ${run.ahead} before it.` : '';
  const what = waiting ? `Waiting.${ahead}` : p ? stages[p.stage] ?? p.stage : 'Starting';
  const step = p?.stage === 'denoise' ? `, step ${p.step} of ${p.steps}` : '';
  const many = p?.images > 1 ? `, ${p.finished} of ${p.images} pictures finished` : '';
  return html`<progress aria-label="Progress" max="1" .value=${p?.total ? p.done / p.total : 0}></progress>
    <div class="line"><span role="status">${what}${step}${many}</span>
      <span class="note">${p?.eta_seconds > 0 ? `${about(p.eta_seconds)} left` : ''}</span>
      <button type="button" @click=${() => cancel(state.focus)}>Cancel</button></div>`;
}

function outcome(ended, run, live) {
  const error = live?.end?.error?.message ?? run?.error?.message;
  const words = { done: 'Done.', cancelled: 'Cancelled.', failed: 'No picture was made.' };
  const fails = live?.failures ?? [];
  const time = live?.end?.seconds ? ` It took ${about(live.end.seconds)}.` : '';
  return html`<div class="line"><span role="status">${words[ended]}${time}</span></div>
    ${error ? html`<p class="mistake" role="alert">${error}</p>` : fails.map((f) => html`<p class="mistake" role="alert">${f}</p>`)}`;
}
