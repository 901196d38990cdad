// The keyboard: shortcuts, and the list of them.

import { html } from '../vendor/lit-html/lit-html.js';
import { cancel, make } from './runs.js';
import { change, state } from './store.js';
import { turn } from './viewer.js';

const kept = 'daguerre.keys';
const single = () => localStorage.getItem(kept) !== 'off';

const shortcuts = [
  ['Ctrl + Enter', 'make a picture'],
  ['Escape', 'close a dialog'],
  ['← →', 'newer and older picture, in a picture that is open'],
  ['Arrow keys, space', 'move the brush and paint, on the mask'],
];
const singles = [['/', 'go to the prompt'], ['p', 'go to the pictures'], ['c', 'cancel the run that is shown'], ['?', 'show this list']];

export function keysDialog(close) {
  const row = ([key, what]) => html`<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`;
  return html`<div class="ask">
    <div class="head"><h2>Keyboard</h2><button type="button" class="icon" aria-label="Close" autofocus @click=${close}>✕</button></div>
    <dl>${shortcuts.map(row)}</dl>
    <label class="check"><input type="checkbox" .checked=${single()}
      @change=${(e) => localStorage.setItem(kept, e.target.checked ? 'on' : 'off')}> Single keys, outside of fields</label>
    <dl>${singles.map(row)}</dl></div>`;
}

const run = {
  '/': () => document.getElementById('field-prompt')?.focus(),
  p: () => document.getElementById('pictures')?.focus(),
  c: () => { if (state.queue.some((r) => r.id === state.focus)) cancel(state.focus); },
  '?': () => change((s) => { s.dialog = { kind: 'keys' }; }),
};

/** listen begins to hear the keyboard. */
export function listen() {
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey) && state.ready && !state.dialog) {
      e.preventDefault();
      make();
    }
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (state.dialog?.kind === 'viewer' && e.key === 'ArrowLeft') turn(-1);
    if (state.dialog?.kind === 'viewer' && e.key === 'ArrowRight') turn(1);
    const writing = e.target.closest?.('input, textarea, select, canvas');
    if (state.dialog || writing || !single() || !run[e.key]) return;
    e.preventDefault();
    run[e.key]();
  });
}
