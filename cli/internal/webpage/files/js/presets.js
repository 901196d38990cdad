// Presets: ways to make a picture, under a name. Some come with the page; yours are kept in this browser.

const kept = 'daguerre.presets';

const builtin = {
  "The model's own settings": {},
  'Quick draft': { num_inference_steps: 12, scheduler: 'DPM++ 2M Karras' },
  'Fine detail': { num_inference_steps: 40, scheduler: 'DPM++ 2M Karras' },
  'Seamless pattern': { seamless: 'both' },
};

function mine() {
  try {
    return JSON.parse(localStorage.getItem(kept)) ?? {};
  } catch {
    return {};
  }
}

function write(presets) {
  localStorage.setItem(kept, JSON.stringify(presets));
}

/** list lists the presets: { name, settings, mine }. */
export function list() {
  const of = (presets, own) => Object.entries(presets).map(([name, settings]) => ({ name, settings, mine: own }));
  return [...of(builtin, false), ...of(mine(), true)];
}

/** taken tells whether a name is one of the page's own. */
export function taken(name) {
  return name in builtin;
}

export function save(name, settings) {
  write({ ...mine(), [name]: settings });
}

export function remove(name) {
  const presets = mine();
  delete presets[name];
  write(presets);
}
