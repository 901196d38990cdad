// A picture that is dropped onto the page, or pasted, gives back the settings that it was made with.

import { html } from '../vendor/lit-html/lit-html.js';
import { accepted, open } from './picker.js';
import { read } from './recipe.js';
import { replace } from './settings.js';
import { startFrom } from './source.js';
import { state } from './store.js';
import { toast } from './toast.js';

/** take takes over the settings of a picture's file. */
export async function take(file) {
  try {
    const found = await read(file);
    const start = { label: 'Start from this picture', run: () => open(file).then(startFrom, (err) => toast(err.message, { bad: true })) };
    if (!found) {
      await open(file); // is it a picture at all?
      toast(`${file.name} does not say how it was made.`, { actions: [start] });
      return;
    }
    const old = state.settings; // replace leaves it as it is
    replace(found.settings);
    toast(`These are the settings of ${file.name}.`, { notes: found.notes, actions: [{ label: 'Undo', run: () => replace(old) }, start] });
  } catch (err) {
    toast(err.message, { bad: true });
  }
}

/** settingsButton is the same for those who do not drop. */
export function settingsButton() {
  return html`<label class="file quiet" for="recipe">Settings from a picture</label>
    <input id="recipe" class="hidden-file" type="file" accept=${accepted} @change=${(e) => {
    if (e.target.files[0]) take(e.target.files[0]);
    e.target.value = '';
  }}>`;
}

/** listen begins to wait for pictures. */
export function listen() {
  const root = document.documentElement;
  const files = (e) => e.dataTransfer?.types.includes('Files') && state.ready && !state.dialog;
  addEventListener('dragover', (e) => {
    e.preventDefault(); // else the browser would leave the page for the picture
    if (files(e)) root.classList.add('dragging');
  });
  addEventListener('dragleave', (e) => { if (!e.relatedTarget) root.classList.remove('dragging'); });
  addEventListener('drop', (e) => {
    e.preventDefault();
    root.classList.remove('dragging');
    if (files(e) && e.dataTransfer.files[0]) take(e.dataTransfer.files[0]);
  });
  addEventListener('paste', (e) => {
    const file = e.clipboardData?.files[0];
    if (file?.type.startsWith('image/') && state.ready && !state.dialog) take(file);
  });
}

export const dropHint = () => html`<div class="drop-hint" aria-hidden="true">Drop the picture to take back its settings</div>`;
