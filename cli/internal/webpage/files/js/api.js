// The server's own API (docs/api.md). The token is kept in this tab only.

import { change } from './store.js';

const tokenKey = 'daguerre.token';

/** Problem is an error of the server: a sentence, and the mistakes with their paths. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code;
    this.fields = body.errors ?? [];
  }
}

export const token = {
  get: () => sessionStorage.getItem(tokenKey) ?? '',
  set: (text) => sessionStorage.setItem(tokenKey, text),
  forget: () => sessionStorage.removeItem(tokenKey),
};

/** call sends a request and returns the answer; what is no success is a Problem. */
export async function call(method, path, { body, type, headers = {}, signal } = {}) {
  const h = new Headers(headers);
  if (token.get()) h.set('Authorization', `Bearer ${token.get()}`);
  if (type) h.set('Content-Type', type);
  let response;
  try {
    response = await fetch(path, { method, body, headers: h, signal });
  } catch (err) {
    if (err.name === 'AbortError') throw err;
    throw new Problem(0, { detail: 'The server does not answer. Is it still running?', code: 'offline' });
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  if (response.status === 401) change((s) => { s.needToken = true; });
  throw new Problem(response.status, answer);
}

/** get reads a value. */
export async function get(path, options) {
  return (await call('GET', path, options)).json();
}

/** send sends a value, and returns the answer's, or null where there is none. */
export async function send(method, path, value, options = {}) {
  const body = value === undefined ? undefined : JSON.stringify(value);
  const response = await call(method, path, { ...options, body, type: body === undefined ? undefined : 'application/json' });
  return response.status === 204 ? null : response.json();
}

/** upload keeps a file on the server and returns what stands for it in a run. */
export async function upload(blob) {
  const response = await call('POST', '/v1/uploads', { body: blob, type: 'application/octet-stream' });
  return (await response.json()).ref;
}

/** events yields the server-sent events of a run after the one with the id last. It uses fetch, since an EventSource can send no token. */
export async function* events(run, last, signal) {
  const headers = { Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) };
  const response = await call('GET', `/v1/runs/${run}/events`, { headers, signal });
  if (response.status === 204) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split('\n\n');
    rest = parts.pop();
    for (const part of parts) {
      const event = parseEvent(part);
      if (event) yield event;
    }
  }
}

function parseEvent(text) {
  const event = { id: '', name: '', data: '' };
  for (const line of text.split('\n')) {
    const at = line.indexOf(':');
    if (at <= 0) continue; // a comment
    const value = line.slice(at + 1).trimStart();
    if (line.startsWith('id:')) event.id = value;
    if (line.startsWith('event:')) event.name = value;
    if (line.startsWith('data:')) event.data += value;
  }
  return event.name && { ...event, data: JSON.parse(event.data) };
}
