// The state of the page, in one value. Whoever changes it calls change(), and the page is drawn again.

export const state = {
  ready: false, // the lists are there
  offline: '', // why the server does not answer; empty: it does
  needToken: false,
  tokenWrong: false, // the last one was not known
  catalog: { models: [], schedulers: [], adapters: [], controlnets: [], preprocessors: [], upscalers: [], refiners: [], vaes: [] },
  schema: null, // of a run
  size: null, // { width, height, memory } that the model has by itself
  settings: {}, // keys of a request; what is not there has its default
  start: null, // the picture to start from: { name, blob, url, width, height }
  mask: null, // what is painted again: { blob, url }
  problems: [], // of the last submission: { path, message }
  sending: false,
  queue: [], // runs that have not ended, in their order
  fleet: null, // workers and queues, once they are known
  live: {}, // by run, what was heard of it: see note in runs.js
  focus: '', // the run on the stage
  gallery: { runs: [], next: '', loading: true, error: '' },
  compare: [], // at most two pictures
  dialog: null, // { kind, ... }
  toasts: [],
  help: new Set(), // fields whose help is shown
};

const drawers = new Set();
let asked = false;

/** onChange has f called after each change, once for all changes of a moment. */
export function onChange(f) {
  drawers.add(f);
}

/** change applies f to the state, if it is given, and has the page drawn again. */
export function change(f) {
  f?.(state);
  if (asked) return;
  asked = true;
  queueMicrotask(() => {
    asked = false;
    for (const draw of drawers) draw(state);
  });
}
