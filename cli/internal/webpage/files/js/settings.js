// The settings of the form. A key that is not there has the model's or the program's default, so an empty field says nothing.

import { upload } from './api.js';
import { learnSize } from './catalog.js';
import { change, state } from './store.js';

const kept = 'daguerre.settings';

/** restore takes up the settings of the last visit. Pictures are not among them. */
export function restore() {
  try {
    state.settings = JSON.parse(localStorage.getItem(kept)) ?? {};
  } catch {
    state.settings = {};
  }
  state.settings.controlnet = undefined;
}

function keep() {
  const { controlnet, ...rest } = state.settings;
  localStorage.setItem(kept, JSON.stringify(rest));
}

let later = 0;

/** set changes one setting. A path leads into a table: 'hires.scale', 'lora.0.weight'. */
export function set(path, value) {
  change((s) => {
    const keys = path.split('.');
    const last = keys.pop();
    let at = s.settings;
    for (const key of keys) at = at[key] ??= {};
    if (value === undefined || value === '') delete at[last];
    else at[last] = value;
    s.problems = s.problems.filter((p) => !samePlace(p.path, path));
  });
  keep();
  if (['model', 'width', 'height'].includes(path)) {
    clearTimeout(later);
    later = setTimeout(learnSize, 400); // when somebody has written the number
  }
}

/** value reads a setting by its path. */
export function value(path) {
  return path.split('.').reduce((at, key) => at?.[key], state.settings);
}

/** replace puts other settings in the place of all. */
export function replace(settings) {
  change((s) => {
    s.settings = settings;
    s.problems = [];
  });
  keep();
  learnSize();
}

/** samePlace tells whether a path of the server, 'lora[0].weight', is that of a field, 'lora.0.weight'. */
export function samePlace(servers, field) {
  return servers.replace(/^jobs?\[0\]\./, '').replace(/\[(\d+)\]/g, '.$1') === field;
}

/** toRun makes the run that the settings ask for. Its pictures are uploaded first. */
export async function toRun() {
  const { lora, controlnet, hires, ...rest } = state.settings;
  const run = { ...rest, prompt: rest.prompt ?? '' };
  if (lora?.length) run.lora = lora.map((a) => ({ ...a }));
  if (hires && (hires.scale || hires.width || hires.height)) run.hires = hires;
  if (state.start) run.init_image = await upload(state.start.blob);
  else delete run.strength;
  if (state.start && state.mask) run.mask_image = await upload(state.mask.blob);
  else { // they are about a mask
    delete run.mask_channel;
    delete run.inpaint;
  }
  if (controlnet?.length) {
    run.controlnet = await Promise.all(controlnet.map(async ({ picture, map, ...unit }) => (
      { ...unit, ...(picture && { image: await upload(picture.blob) }) })));
  }
  return run;
}

// What belongs to a picture and not to the way it is made: presets leave it alone.
const own = ['model', 'prompt', 'prompt_2', 'negative_prompt', 'negative_prompt_2', 'seed', 'num_images', 'controlnet', 'lora', 'strength'];

/** way is the part of settings that a preset holds. */
export function way(settings) {
  return Object.fromEntries(Object.entries(settings).filter(([key, v]) => v !== undefined && !own.includes(key)));
}

/** useWay makes pictures in another way, with the same words. */
export function useWay(preset) {
  const { settings } = state;
  const words = Object.fromEntries(own.filter((key) => settings[key] !== undefined).map((key) => [key, settings[key]]));
  replace({ ...structuredClone(preset), ...words });
}
