// Dialogs: at most one is open. The browser keeps the focus in it and closes it with Escape.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { brushDialog, paint } from './brush.js';
import { compareDialog } from './compare.js';
import { keysDialog } from './keys.js';
import { presetDialog } from './presets-view.js';
import { change } from './store.js';
import { viewerDialog } from './viewer.js';

const kinds = {
  viewer: ['Picture', viewerDialog], compare: ['Compare two pictures', compareDialog], brush: ['Mask', brushDialog],
  preset: ['Save a preset', presetDialog], keys: ['Keyboard', keysDialog],
};

export function close() {
  change((s) => { s.dialog = null; });
}

export function dialogs(open) {
  const [label, view] = kinds[open?.kind] ?? [];
  return html`<dialog class=${open?.kind ?? ''} aria-label=${label ?? nothing} @close=${close}
    @click=${(e) => { if (e.target === e.currentTarget && open?.kind !== 'brush') close(); }}>${view ? view(close) : nothing}</dialog>`;
}

/** settle opens and closes the dialog of the document as the state has it. It is called after the page was drawn. */
export function settle(root, open) {
  const dialog = root.querySelector('dialog');
  if (!dialog) return;
  if (open && !dialog.open) {
    dialog.showModal();
    dialog.querySelector('[autofocus]')?.focus();
  } else if (!open && dialog.open) dialog.close();
  if (open?.kind === 'brush') paint(dialog.querySelector('canvas'));
}
