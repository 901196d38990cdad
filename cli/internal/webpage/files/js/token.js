// The token that a server may ask for. It is kept in this tab only, and is gone when the tab is closed.

import { html } from '../vendor/lit-html/lit-html.js';
import { token } from './api.js';
import { change, state } from './store.js';

/** tokenPage stands in the place of the page until there is a token. */
export function tokenPage(begin) {
  const submit = (e) => {
    e.preventDefault();
    token.set(new FormData(e.target).get('token').trim());
    change((s) => { s.needToken = false; s.tokenWrong = true; });
    begin();
  };
  return html`<main class="gate"><form class="ask" @submit=${submit}>
    <h1>Daguerre</h1>
    <label for="token">This server asks for a token</label>
    <input id="token" name="token" type="password" autocomplete="off" required autofocus aria-describedby="token-note">
    ${state.tokenWrong ? html`<p class="mistake" role="alert">The server does not know this token.</p>` : ''}
    <p class="note" id="token-note">Whoever runs the server has it. It is kept in this tab until you close it.</p>
    <div class="buttons"><button class="primary">Go on</button></div>
  </form></main>`;
}
