// The picture to start from, and the mask of what is painted again.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { number, table } from './fields.js';
import { picker } from './picker.js';
import { change, state } from './store.js';

/** startFrom makes a picture the one to start from. Its mask is forgotten. */
export function startFrom(picture) {
  change((s) => {
    s.start = picture ?? null;
    s.mask = null;
  });
  document.getElementById('start')?.closest('details')?.setAttribute('open', '');
}

export function source() {
  const { start, mask } = state;
  return html`${picker('start', 'Choose a picture', start, startFrom)}
    ${start ? html`
      ${number('strength', 'How much may change', { soft: [0.05, 1, 0.05],
    placeholder: mask ? '0.9999' : '0.3', fallback: mask ? 1 : 0.3 })}
      <div class="mask">
        ${mask ? html`<img src=${mask.url} alt="The mask: white is painted again">` : nothing}
        <div><button type="button" @click=${() => change((s) => { s.dialog = { kind: 'brush' }; })}>
            ${mask ? 'Change the mask' : 'Paint a mask'}</button>
          <p class="note">${mask ? 'Only the white part is painted again.' : 'Without a mask all of the picture is painted again.'}</p>
          ${mask ? html`<button type="button" class="link"
            @click=${() => change((s) => { s.mask = null; })}>Remove the mask</button>` : nothing}
        </div></div>` : nothing}
    ${start && mask ? table('inpaint') : nothing}`;
}
