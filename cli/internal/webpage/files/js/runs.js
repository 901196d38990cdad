// Runs: submitting, following and cancelling them. What waits and what is in work is asked for regularly; the runs that matter most are
// followed by their events, so that previews come at once.

import { call, events, get, Problem, send } from './api.js';
import { refresh } from './gallery-data.js';
import { toRun } from './settings.js';
import { change, state } from './store.js';
import { toast } from './toast.js';

const mostFollowed = 2; // a browser opens six connections to a server, and pictures need some
const busy = 1500; // ms between two looks at the queue while there is something in it
const idle = 10000;

const following = new Map(); // run: AbortController

/** make submits a run of the form's settings. */
export async function make() {
  if (state.sending) return;
  change((s) => { s.sending = true; s.problems = []; });
  try {
    const body = await toRun();
    const previews = previewEvery(body);
    const run = await send('POST', `/v1/runs?previews=${previews}`, body, { headers: { 'Idempotency-Key': randomKey() } });
    change((s) => {
      s.focus = run.id;
      s.queue = [...s.queue, run];
      note(run.id).warnings = run.warnings ?? [];
      note(run.id).prompt = body.prompt;
    });
    follow(run.id);
    look();
  } catch (err) {
    report(err);
  } finally {
    change((s) => { s.sending = false; });
  }
}

/** previewEvery is after how many steps a preview is made: often enough to see the picture grow, seldom enough to cost little. */
function previewEvery(run) {
  return Math.max(1, Math.round((run.num_inference_steps ?? 30) / 10));
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('');
}

/** report shows what the server found wrong: at the fields, and above the button what belongs to none. */
function report(err) {
  if (!(err instanceof Problem)) console.error(err);
  change((s) => {
    s.problems = err.fields?.length ? err.fields : [{ path: '', message: err.message }];
  });
}

/** cancel gives a run up. */
export async function cancel(id) {
  try {
    await send('POST', `/v1/runs/${id}/cancel`);
    look();
  } catch (err) {
    toast(err.message, { bad: true });
  }
}

/** first puts a run that waits before the others. */
export async function first(id) {
  try {
    await send('PATCH', `/v1/runs/${id}`, { priority: 10 });
    look();
  } catch (err) {
    toast(err.message, { bad: true });
  }
}

/** remove forgets a run with its pictures. */
export async function remove(id) {
  try {
    await call('DELETE', `/v1/runs/${id}`);
    change((s) => { if (s.focus === id) s.focus = ''; });
    toast('The pictures are deleted.');
  } catch (err) {
    toast(err.message, { bad: true });
  }
  refresh();
}

function note(id) {
  return state.live[id] ??= { prompt: '', progress: null, previews: {}, pictures: {}, warnings: [], failures: [], end: null };
}

async function follow(id) {
  if (following.has(id)) return;
  const control = new AbortController();
  following.set(id, control);
  let last = '';
  for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
    try {
      for await (const event of events(id, last, control.signal)) {
        wait = 500;
        last = event.id || last;
        change(() => hear(id, event));
      }
      if (note(id).end) break;
      const run = await get(`/v1/runs/${id}`);
      if (!['queued', 'running'].includes(run.state)) {
        change(() => { note(id).end ??= { state: run.state, error: run.error }; });
        break;
      }
    } catch (err) {
      if (control.signal.aborted || (err.status >= 400 && err.status < 500 && err.status !== 429)) break;
    }
    await new Promise((resume) => { setTimeout(resume, wait); });
  }
  following.delete(id);
  const { end } = note(id);
  if (end?.state === 'failed' && id !== state.focus) {
    toast(`A run made no picture: ${end.error?.message ?? 'nobody knows why'}`, { bad: true,
      actions: [{ label: 'Show it', run: () => show(id) }] });
  }
  look();
  refresh();
}

const hearers = {
  progress: (n, data) => { n.progress = data; },
  preview: (n, data) => { n.previews[`${data.job}.${data.index}`] = `data:image/jpeg;base64,${data.data}`; },
  image: (n, data) => { n.pictures[`${data.job}.${data.index}`] = data; },
  warning: (n, data) => { if (!n.warnings.includes(data.message)) n.warnings.push(data.message); },
  failed: (n, data) => n.failures.push(data.message),
  done: (n, data) => { n.end = data; },
  error: (n, data) => { n.end = data; },
};

function hear(id, event) {
  hearers[event.name]?.(note(id), event.data);
}

let timer = 0;

/** look asks how the queue stands, now and then regularly. */
export async function look() {
  clearTimeout(timer);
  timer = setTimeout(look, idle); // in case that another look comes in between
  if (document.hidden) return;
  try {
    const { runs } = await get('/v1/runs?state=queued,running&limit=100');
    const order = runs.sort((a, b) => (b.state === 'running') - (a.state === 'running') || b.priority - a.priority ||
      a.created.localeCompare(b.created));
    const ended = state.queue.some((old) => !order.some((r) => r.id === old.id));
    change((s) => {
      s.queue = order;
      s.offline = '';
      if (!s.focus && order.length) s.focus = order[0].id;
    });
    for (const run of order) {
      if (following.size < mostFollowed || run.id === state.focus) follow(run.id);
    }
    if (ended) refresh();
  } catch (err) {
    if (err.status !== 401) change((s) => { s.offline = err.message; });
  }
  clearTimeout(timer);
  timer = setTimeout(look, state.queue.length ? busy : idle);
}

document.addEventListener('visibilitychange', () => { if (!document.hidden && state.ready) look(); });

/** show puts a run on the stage. */
export function show(id) {
  change((s) => { s.focus = id; });
  follow(id);
}

/** waits estimates in how many seconds each run of the queue ends, by what is in work and what was measured; undefined: nobody knows. */
export function waits(queue, live, ended) {
  const measured = ended.filter((r) => r.made && r.started && r.ended).slice(0, 20);
  const seconds = measured.reduce((sum, r) => sum + (Date.parse(r.ended) - Date.parse(r.started)) / 1000, 0);
  const each = measured.length ? seconds / measured.reduce((sum, r) => sum + r.made, 0) : undefined;
  let before = 0;
  return queue.map((run) => {
    const own = live[run.id]?.progress?.eta_seconds ?? (each === undefined ? undefined : each * run.images);
    before = own === undefined || before === undefined ? undefined : before + own;
    return before;
  });
}
