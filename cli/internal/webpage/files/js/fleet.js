// The workers: who makes pictures, how fast, and what waits. One server with its own worker shows nothing of it.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { get } from './api.js';
import { change, state } from './store.js';
import { about } from './words.js';

const every = 5000;
let timer = 0;

/** learnFleet asks how the workers are, now and then while the page is seen. */
export async function learnFleet() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      const fleet = await get('/v1/fleet');
      change((s) => { s.fleet = fleet; });
    } catch {
      // the page tells elsewhere that the server is away
    }
  }
  timer = setTimeout(learnFleet, every);
}

const size = (bytes) => bytes > 0 ? `${(bytes / 2 ** 30).toFixed(1)} GiB free` : '';

export function fleet() {
  const { workers = [], queues = [], images_per_minute: rate = 0 } = state.fleet ?? {};
  if (!state.fleet || workers.length === 1) return nothing;
  const title = workers.length === 0 ? 'No worker is there' : `${workers.length} workers, ${rate.toFixed(1)} pictures a minute`;
  return html`<section class="fleet" aria-labelledby="fleet-title"><details><summary id="fleet-title">${title}</summary>
    <div class="wide"><table><thead><tr><th scope="col">Worker</th><th scope="col">Device</th><th scope="col">Models loaded</th>
      <th scope="col">Pictures in work</th><th scope="col">A minute</th></tr></thead>
    <tbody>${workers.map((w) => html`<tr><th scope="row">${w.name}${w.draining ? ' (ends)' : ''}</th>
      <td>${[w.device, size(w.free_bytes)].filter(Boolean).join(', ')}</td><td>${w.loaded.join(', ') || 'none'}</td>
      <td>${w.images}</td><td>${w.images_per_minute.toFixed(1)}</td></tr>`)}</tbody></table></div>
    ${queues.map((q) => html`<p class="note">${queue(q)}</p>`)}</details></section>`;
}

// queue says what waits of one owner for one model.
function queue(q) {
  const oldest = q.waiting > 0 ? `, the oldest for ${about(q.oldest_seconds)}` : '';
  const has = q.workers === 1 ? 'worker has' : 'workers have';
  return `${q.model}: ${q.waiting} of ${q.owner}'s runs wait${oldest}; ${q.running} in work; ${q.workers} ${has} the model`;
}
