// The page of daguerre serve: it puts the parts together and draws them when something changes.

import { html, nothing, render } from '../vendor/lit-html/lit-html.js';
import { token } from './api.js';
import { begin as beginMask } from './brush.js';
import { learnSize, load } from './catalog.js';
import { dialogs, settle } from './dialogs.js';
import { dropHint, listen as listenToDrops, settingsButton } from './drop.js';
import { fleet, learnFleet } from './fleet.js';
import { form } from './form.js';
import { gallery, watch } from './gallery.js';
import { refresh } from './gallery-data.js';
import { listen as listenToKeys } from './keys.js';
import { look } from './runs.js';
import { restore } from './settings.js';
import { stage } from './stage.js';
import { queue } from './queue.js';
import { change, onChange, state } from './store.js';
import { dark, toggle } from './theme.js';
import { toasts } from './toast.js';
import { tokenPage } from './token.js';

const root = document.getElementById('app');

function header() {
  const n = state.queue.length;
  const other = dark() ? 'Light colours' : 'Dark colours';
  return html`<header>
    <h1><span class="mark" aria-hidden="true">◉</span> Daguerre</h1>
    <span class="state" role="status">${state.offline ? html`<span class="bad">${state.offline}</span>` :
    n > 1 ? `${n} runs in the queue` : nothing}</span>
    <nav aria-label="Page">
      ${settingsButton()}
      ${token.get() ? html`<button type="button" class="quiet" @click=${leave}>Forget the token</button>` : nothing}
      <button type="button" class="icon keyboard" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)"
        @click=${() => change((s) => { s.dialog = { kind: 'keys' }; })}>⌨</button>
      <button type="button" class="icon" aria-label=${other} title=${other}
        @click=${() => { toggle(); change(); }}>${dark() ? '☀' : '☾'}</button>
    </nav></header>`;
}

function leave() {
  token.forget();
  location.reload();
}

function page() {
  if (state.needToken) return tokenPage(begin);
  if (!state.ready) {
    return state.offline ? html`<main class="gate"><p>${state.offline}</p><button @click=${begin}>Try again</button></main>` :
      html`<p class="loading">Daguerre is starting …</p>`;
  }
  return html`${header()}<main>${form()}<div class="results"><div class="now">${stage()}${queue()}${fleet()}</div>${gallery()}</div></main>
    ${dropHint()}${dialogs(state.dialog)}${toasts(state.toasts)}`;
}

let dialog = null;

onChange(() => {
  if (state.dialog?.kind === 'brush' && dialog?.kind !== 'brush') beginMask();
  dialog = state.dialog;
  render(page(), root);
  settle(root, state.dialog);
  watch(root);
});

async function begin() {
  try {
    await load();
    change((s) => { s.offline = ''; s.tokenWrong = false; });
    learnSize();
    refresh();
    learnFleet();
    look();
  } catch (err) {
    if (err.status === 401) return;
    change((s) => { s.offline = err.message; });
  }
}

restore();
listenToKeys();
listenToDrops();
root.replaceChildren();
change();
begin();
