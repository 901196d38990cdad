// Pictures by URL. They are fetched with the token, which an <img> alone cannot send, and shown from memory.

import { call } from './api.js';
import { change } from './store.js';

const most = 150; // pictures that stay in memory
const kept = new Map(); // URL: { blob, shown } or { error }

/** blob fetches a picture's file. */
export async function blob(url) {
  if (kept.get(url)?.blob) return kept.get(url).blob;
  const response = await call('GET', url);
  return response.blob();
}

/** shown is what an <img> shows for a picture: an address in memory, or '' until it is there. */
export function shown(url) {
  const old = kept.get(url);
  if (old) {
    kept.delete(url); // it becomes the one that was used last
    kept.set(url, old);
    return old.shown ?? '';
  }
  kept.set(url, {});
  blob(url).then((b) => {
    kept.set(url, { blob: b, shown: URL.createObjectURL(b) });
    tidy();
  }, () => kept.set(url, { error: true })).finally(() => change());
  return '';
}

/** lost tells whether a picture could not be fetched. */
export function lost(url) {
  return kept.get(url)?.error === true;
}

function tidy() {
  for (const [url, old] of kept) {
    if (kept.size <= most) return;
    kept.delete(url);
    if (old.shown) URL.revokeObjectURL(old.shown);
  }
}

/** save has the browser save a picture's file under a name. */
export async function save(url, name) {
  const address = URL.createObjectURL(await blob(url));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
