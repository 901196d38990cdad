// The text of AUTOMATIC1111's web UI and of programs that write like it:
//
//   prompt
//   Negative prompt: what not to show
//   Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 1024x1024, Model: name

const number = (text) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : undefined);

// Each name with the setting that it becomes. A function gets the settings and the text.
const names = {
  Steps: 'num_inference_steps',
  'CFG scale': 'guidance_scale',
  Seed: 'seed',
  'Denoising strength': 'strength',
  Sampler: (s, text) => { s.scheduler = text; },
  'Schedule type': (s, text) => { if (text.toLowerCase() !== 'automatic') s.sigmas = text.toLowerCase().replaceAll(' ', '_'); },
  Size: (s, text) => { [s.width, s.height] = text.split('x').map(number); },
  'Clip skip': (s, text) => { s.clip_skip = Math.max(0, number(text) - 2); }, // A1111 counts SDXL's penultimate layer as 2
  Model: (s, text) => { s.model = text; },
  RNG: (s, text) => { if (text === 'GPU') s.rng = 'gpu'; },
  Tiling: (s, text) => { if (text === 'True') s.seamless = 'both'; },
  'Hires upscale': (s, text) => { s.hires = { ...s.hires, scale: number(text) }; },
};
const needless = ['Model hash', 'Version', 'VAE hash', 'Lora hashes', 'TI hashes', 'Hashes', 'VAE', 'Hires steps', 'Hires upscaler'];

/** parse returns { settings, notes }; notes say what was not taken over. */
export function parse(text) {
  const lines = text.trimEnd().split('\n');
  const settings = {};
  const notes = [];
  const last = /^\s*[\w ]+: .+, [\w ]+: /.test(lines.at(-1)) ? lines.pop() : '';
  const at = lines.findIndex((line) => line.startsWith('Negative prompt:'));
  settings.prompt = (at < 0 ? lines : lines.slice(0, at)).join('\n').trim();
  if (at >= 0) settings.negative_prompt = lines.slice(at).join('\n').replace('Negative prompt:', '').trim();
  const left = [];
  for (const [, name, quoted, bare] of last.matchAll(/\s*([\w ]+):\s*(?:"((?:\\.|[^"\\])*)"|([^,]*))(?:,|$)/g)) {
    const to = names[name.trim()];
    const value = quoted ?? bare.trim();
    if (typeof to === 'function') to(settings, value);
    else if (to && number(value) !== undefined) settings[to] = number(value);
    else if (to || !needless.includes(name.trim())) left.push(name.trim());
  }
  if (last.includes('Hires upscale:')) notes.push('Its second pass was made by another program. Steps and upscaler are not taken over.');
  if (left.length) notes.push(`Not taken over: ${left.join(', ')}.`);
  if (!settings.negative_prompt) delete settings.negative_prompt;
  return { settings, notes };
}
