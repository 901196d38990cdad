// A place for a picture: a file is chosen, or dropped onto it.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { toast } from './toast.js';

/** accepted are the kinds of pictures that the server reads. */
export const accepted = 'image/png,image/jpeg,image/gif,image/webp';

/** open reads what is needed to show a picture: { name, blob, url, width, height }. */
export async function open(blob, name = blob.name ?? 'picture') {
  const bitmap = await createImageBitmap(blob).catch(() => { throw new Error(`${name} is no picture that can be shown.`); });
  const { width, height } = bitmap;
  bitmap.close();
  return { name, blob, url: URL.createObjectURL(blob), width, height };
}

/** picker shows the picture that was chosen, or a place to drop one. took gets it, or undefined when it is taken away. */
export function picker(id, label, picture, took) {
  const take = async (file) => {
    if (!file) return;
    try {
      took(await open(file));
    } catch (err) {
      toast(err.message, { bad: true });
    }
  };
  const drop = (e) => {
    e.preventDefault();
    e.stopPropagation();
    e.currentTarget.classList.remove('over');
    document.documentElement.classList.remove('dragging');
    take(e.dataTransfer.files[0]);
  };
  return html`<div class="picker" @drop=${drop} @dragover=${over} @dragleave=${(e) => e.currentTarget.classList.remove('over')}>
    ${picture ? html`<img src=${picture.url} alt=${`${label}: ${picture.name}`}>` : nothing}
    <div><label class="file" for=${id}>${picture ? 'Another picture' : label}</label>
      <input id=${id} class="hidden-file" type="file" accept=${accepted}
        @change=${(e) => { take(e.target.files[0]); e.target.value = ''; }}>
      ${picture ? html`<p class="note">${picture.name}, ${picture.width} × ${picture.height}</p>
        <button type="button" class="link" @click=${() => took(undefined)}>Remove</button>` : html`<p class="note">or drop one here</p>`}
    </div></div>`;
}

function over(e) {
  e.preventDefault();
  e.currentTarget.classList.add('over');
}
