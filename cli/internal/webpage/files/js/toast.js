// Short messages at the edge of the page.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { repeat } from '../vendor/lit-html/directives/repeat.js';
import { change } from './store.js';

let count = 0;

/** toast shows a message. actions are buttons: [{ label, run }]. One with buttons, and a bad one, stays longer. */
export function toast(text, { bad = false, notes = [], actions = [] } = {}) {
  const id = ++count;
  change((s) => { s.toasts = [...s.toasts.slice(-2), { id, text, bad, notes, actions }]; });
  setTimeout(() => drop(id), bad || actions.length || notes.length ? 15000 : 5000);
}

function drop(id) {
  change((s) => { s.toasts = s.toasts.filter((t) => t.id !== id); });
}

export function toasts(list) {
  return html`<div class="toasts" role="status" aria-live="polite">${repeat(list, (t) => t.id, (t) => html`
    <div class=${t.bad ? 'toast bad' : 'toast'}>
      <div>
        <p>${t.text}</p>
        ${t.notes.length ? html`<ul>${t.notes.map((n) => html`<li>${n}</li>`)}</ul>` : nothing}
        ${t.actions.map((a) => html`<button class="link" @click=${() => { a.run(); drop(t.id); }}>${a.label}</button>`)}
      </div>
      <button class="icon" aria-label="Close this message" @click=${() => drop(t.id)}>✕</button>
    </div>`)}</div>`;
}
