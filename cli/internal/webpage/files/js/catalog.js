// What the server has: models, adapters, schedulers ... and the schema of runs, of which the bounds of all fields are taken.

import { get, send } from './api.js';
import { change, state } from './store.js';

const lists = {
  models: (a) => a.models, schedulers: (a) => a.schedulers, preprocessors: (a) => a.preprocessors,
  styles: (a) => a.styles.map((s) => s.name),
  adapters: (a) => a.names, controlnets: (a) => a.names, upscalers: (a) => a.names, refiners: (a) => a.names, vaes: (a) => a.names,
};

/** load reads all lists. One question goes first: a server that does not know the token should not be asked many times. */
export async function load() {
  await get('/v1/catalog/models');
  const entries = Object.entries(lists).map(async ([name, of]) => [name, of(await get(`/v1/catalog/${name}`)) ?? []]);
  const [schema, ...found] = await Promise.all([get('/v1/schema'), ...entries]);
  change((s) => {
    s.schema = schema;
    s.catalog = Object.fromEntries(found);
    s.ready = true;
  });
}

/** bounds is the schema of a key of a job: 'width', 'hires.scale', 'lora.weight'; undefined where the server has no such key. */
export function bounds(path) {
  let at = { properties: state.schema.$defs.job.properties };
  for (const key of path.split('.')) {
    at = (at?.properties ?? at?.items?.properties)?.[key];
  }
  return at;
}

let asked = 0;

/** learnSize asks the server's plan what size the model's pictures have, and how much memory one needs. */
export async function learnSize() {
  const turn = ++asked;
  const { model, width, height } = state.settings;
  const run = { prompt: 'size', ...(model && { model }), ...(width && { width }), ...(height && { height }) };
  let size = null;
  try {
    const plan = await send('POST', '/v1/plan', run);
    const job = plan.sizes?.[0] ?? {};
    size = { model, width: job.Width, height: job.Height, own: !width && !height, memory: plan.reason };
  } catch {
    // The page works without: the server says what is wrong when the run is submitted.
  }
  if (turn === asked && size) {
    change((s) => {
      const old = s.size && s.size.model === model ? s.size.base : undefined;
      s.size = { ...size, base: size.own ? { width: size.width, height: size.height } : old };
    });
  }
}

const known = new Map();

/** adapterInfo is what an adapter's file tells of it, or undefined until it is known. */
export function adapterInfo(name) {
  if (!known.has(name)) {
    known.set(name, undefined);
    get(`/v1/catalog/adapters/${encodeURIComponent(name)}`)
      .catch((err) => ({ error: err.message }))
      .then((info) => {
        known.set(name, info);
        change();
      });
  }
  return known.get(name);
}
