// The finished runs with their pictures, page by page.

import { get } from './api.js';
import { change, state } from './store.js';

const page = 24;
const ended = 'state=done,cancelled,failed';
const details = new Map(); // of runs that have ended; they do not change

/** refresh reads the newest page again. What is below stays. */
export async function refresh() {
  try {
    const { runs, next } = await get(`/v1/runs?${ended}&limit=${page}`);
    const full = await Promise.all(runs.map(detail));
    change((s) => {
      const last = full.at(-1);
      const older = last && next ? s.gallery.runs.filter((r) => r.created < last.created) : [];
      s.gallery = { runs: [...full, ...older], next: older.length ? s.gallery.next : next, loading: false, error: '' };
    });
  } catch (err) {
    change((s) => { s.gallery = { ...s.gallery, loading: false, error: err.message }; });
  }
}

/** more reads the next page. */
export async function more() {
  const { next } = state.gallery;
  if (!next) return;
  change((s) => { s.gallery = { ...s.gallery, loading: true }; });
  try {
    const answer = await get(`/v1/runs?${ended}&limit=${page}&after=${next}`);
    const full = await Promise.all(answer.runs.map(detail));
    change((s) => { s.gallery = { runs: [...s.gallery.runs, ...full], next: answer.next, loading: false, error: '' }; });
  } catch (err) {
    change((s) => { s.gallery = { ...s.gallery, loading: false, error: err.message }; });
  }
}

async function detail(run) {
  if (!details.has(run.id)) {
    try {
      details.set(run.id, await get(`/v1/runs/${run.id}`));
    } catch {
      return { ...run, pictures: [] }; // it was deleted meanwhile, or the next look finds it
    }
  }
  return details.get(run.id);
}

/** job is what one job of a run asks for, the run's own keys included. */
export function job(run, index) {
  const { jobs, ...rest } = run.request ?? {};
  return { ...rest, ...(jobs?.[index] ?? {}) };
}

/** pictures lists all pictures of runs as { run, job, index, seed, url, name, prompt }. */
export function pictures(runs) {
  return runs.flatMap((run) => (run.pictures ?? []).map((p) => ({ ...p, run: run.id, key: `${run.id}/${p.job}/${p.index}`,
    name: `daguerre-${p.seed}-${run.id.slice(0, 9)}-${p.job}-${p.index}.${p.format === 'jpeg' ? 'jpg' : p.format}`,
    prompt: job(run, p.job).prompt ?? '' })));
}
