// The settings that a picture was made with, as its file tells them: our manifest, or the text of AUTOMATIC1111's web UI.

import { texts } from './png.js';
import { parse } from './infotext.js';
import { state } from './store.js';

/** read returns { settings, notes } of a picture's file, or null where it tells nothing. notes say what was not taken over. */
export async function read(blob) {
  const found = await texts(blob);
  if (found.daguerre) {
    try {
      return known(fromManifest(JSON.parse(found.daguerre)));
    } catch {
      // It is not our text. The other one may be there.
    }
  }
  return found.parameters ? known(parse(found.parameters)) : null;
}

// What the server fills in by itself. It is left out, so that the form shows what was asked for and not all that followed from it.
const usual = { rng: 'cpu', mask_channel: 'auto', seamless: 'none', crops_coords_top_left: [0, 0] };

// What a manifest tells besides the settings, and what is turned into settings in another way than by its name.
const told = ['software', 'version', 'engine', 'library', 'go', 'index', 'files', 'manifest_version', 'memory', 'warnings', 'model',
  'negative_sizes', 'loras', 'controlnets', 'refiner', 'hires', 'scheduler', 'force_zeros_for_empty_prompt', 'init_image', 'mask_image',
  'asked']; // the prompts before styles and wildcards: those that they became make the same picture
const notOffered = ['noise', 'latents', 'denoising_start', 'denoising_end'];

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** fromManifest turns a picture's manifest (docs/configuration.md, "What a PNG carries") into settings. */
export function fromManifest(m) {
  const settings = {};
  const notes = [];
  const size = [m.height, m.width];
  const schema = state.schema.$defs.job.properties;
  for (const [key, value] of Object.entries(m)) {
    if (told.includes(key) || value === '' || same(value, usual[key])) continue;
    if (['original_size', 'target_size'].includes(key) && same(value, size)) continue;
    if (schema[key] && !notOffered.includes(key)) settings[key] = value;
    else notes.push(`${key} was used. The page cannot repeat that.`);
  }
  ['negative_original_size', 'negative_crops_coords_top_left', 'negative_target_size'].forEach((key, i) => {
    const positive = [m.original_size, m.crops_coords_top_left, m.target_size][i];
    if (m.negative_sizes && !same(m.negative_sizes[i], positive)) settings[key] = m.negative_sizes[i];
  });
  if (!m.negative_prompt && m.force_zeros_for_empty_prompt === false) settings.force_zeros_for_empty_prompt = false;
  if (m.model?.name) settings.model = m.model.name;
  if (m.scheduler) {
    settings.scheduler = m.scheduler.asked || m.scheduler.name;
    settings.scheduler_options = m.scheduler.options;
  }
  if (m.loras?.length) settings.lora = m.loras.map(adapter);
  if (m.hires) {
    const { width, height, upscaler, strength, num_inference_steps: steps } = m.hires;
    settings.hires = { width, height, upscaler, strength, steps };
  }
  if (m.refiner) {
    Object.assign(settings, { refiner_mode: m.refiner.mode, aesthetic_score: m.refiner.aesthetic_score,
      negative_aesthetic_score: m.refiner.negative_aesthetic_score, refiner_steps: m.refiner.num_inference_steps });
    if (m.refiner.start) settings.refiner_start = m.refiner.start;
    if (m.refiner.strength) settings.refiner_strength = m.refiner.strength;
  }
  if (m.init_image) notes.push('It was started from a picture, which is not in the file. Choose it under "Start from a picture".');
  if (m.mask_image) notes.push('It was painted with a mask, which is not in the file.');
  if (m.controlnets?.length) {
    settings.controlnet = m.controlnets.map((c) => ({ model: c.name, weight: c.weight, start: c.start, end: c.end,
      control_mode: c.control_mode, resize_mode: c.resize_mode, preprocessor: c.preprocessor, preprocessor_options: c.preprocessor_options,
      union_type: c.union_type }));
    notes.push('Its ControlNet pictures are not in the file. Choose them under "ControlNet".');
  }
  return { settings, notes };
}

function adapter(a) {
  const out = { name: a.name, weight: a.weight };
  for (const key of ['unet_weight', 'text_encoder_weight']) { // the effective ones, often the weight itself
    if (a[key] !== a.weight) out[key] = a[key];
  }
  if (a.block_weights) out.block_weights = a.block_weights;
  if (a.start) out.start = a.start;
  if (a.end < 1) out.end = a.end;
  return out;
}

/** known leaves out names that this server does not have, and says so. */
function known({ settings, notes }) {
  const { catalog } = state;
  if (settings.model && !catalog.models.some((m) => m.name === settings.model)) {
    notes.push(`The model ${settings.model} is not on this server. The pictures will differ.`);
    delete settings.model;
  }
  for (const [key, list, what] of [['lora', catalog.adapters, 'adapter'], ['controlnet', catalog.controlnets, 'ControlNet']]) {
    settings[key] = settings[key]?.filter((x) => {
      const name = x.name ?? x.model;
      const exact = list.find((n) => n === name || n.endsWith(`/${name}`));
      if (!exact) notes.push(`The ${what} ${name} is not on this server and was left out.`);
      else if (x.name) x.name = exact;
      else x.model = exact;
      return exact;
    });
    if (!settings[key]?.length) delete settings[key];
  }
  return { settings, notes };
}
