// The gallery: all finished pictures, the newest first.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { more, pictures, refresh } from './gallery-data.js';
import { lost, save, shown } from './picture-cache.js';
import { change, state } from './store.js';

export function gallery() {
  const { runs, next, loading, error } = state.gallery;
  const list = pictures(runs);
  return html`<section class="gallery" id="pictures" tabindex="-1" aria-labelledby="gallery-title">
    <div class="title"><h2 id="gallery-title">Pictures</h2>${comparing()}</div>
    ${error ? html`<p class="mistake" role="alert">${error} <button class="link" @click=${refresh}>Try again</button></p>` : nothing}
    ${!list.length && !loading && !error ? html`<p class="note">What you make is kept here, on the server.</p>` : nothing}
    ${loading && !list.length ? html`<p class="note">Looking for pictures …</p>` : nothing}
    <ul>${repeat(list, (p) => p.key, card)}</ul>
    ${next ? html`<button type="button" ?disabled=${loading} @click=${more}>
      ${loading ? 'Loading …' : 'Older pictures'}</button>` : nothing}
  </section>`;
}

function comparing() {
  const n = state.compare.length;
  if (!n) return nothing;
  return html`<div class="line"><span class="note" role="status">${n === 1 ? 'Choose a second picture to compare.' : ''}</span>
    ${n === 2 ? html`<button type="button" class="primary" @click=${() => change((s) => { s.dialog = { kind: 'compare' }; })}>
      Compare</button>` : nothing}
    <button type="button" class="link" @click=${() => change((s) => { s.compare = []; })}>Choose none</button></div>`;
}

// seen notes which cards have been on the screen: only their pictures are fetched.
const seen = new Set();
const watcher = new IntersectionObserver((entries) => {
  for (const e of entries.filter((x) => x.isIntersecting)) {
    seen.add(e.target.dataset.url);
    watcher.unobserve(e.target);
    change();
  }
}, { rootMargin: '400px' });

/** watch looks at cards that are new. It is called after the page was drawn. */
export function watch(root) {
  for (const card of root.querySelectorAll('.gallery li:not([data-watched])')) {
    card.dataset.watched = '';
    watcher.observe(card);
  }
}

/** mark chooses a picture for comparing, or lets go of it. The second last choice stays. */
export function mark(key) {
  change((s) => {
    s.compare = s.compare.includes(key) ? s.compare.filter((k) => k !== key) : [...s.compare, key].slice(-2);
  });
}

function card(p) {
  const address = seen.has(p.url) ? shown(p.url) : '';
  const chosen = state.compare.includes(p.key);
  const what = p.prompt || 'picture without a prompt';
  return html`<li data-url=${p.url} class=${chosen ? 'chosen' : ''}>
    <button type="button" class="open" aria-label=${`Open: ${what}, seed ${p.seed}`}
      @click=${() => change((s) => { s.dialog = { kind: 'viewer', key: p.key }; })}>
      ${address ? html`<img src=${address} alt="">` : html`<span class="note">${lost(p.url) ? 'gone' : ''}</span>`}</button>
    <div class="actions">
      <button type="button" class="icon" aria-pressed=${chosen} aria-label=${`Compare seed ${p.seed}`} title="Compare"
        @click=${() => mark(p.key)}>◫</button>
      <button type="button" class="icon" aria-label=${`Download seed ${p.seed}`} title="Download"
        @click=${() => save(p.url, p.name)}>↓</button>
    </div></li>`;
}
