// Light and dark: as the system has it, until somebody switches.

const kept = 'daguerre.theme';
const system = matchMedia('(prefers-color-scheme: dark)');

/** dark tells what is shown. */
export function dark() {
  const chosen = localStorage.getItem(kept);
  return chosen ? chosen === 'dark' : system.matches;
}

/** apply shows the page as it was chosen. */
export function apply() {
  document.documentElement.dataset.theme = dark() ? 'dark' : 'light';
}

export function toggle() {
  const next = dark() ? 'light' : 'dark';
  if ((next === 'dark') === system.matches) localStorage.removeItem(kept); // as the system has it again
  else localStorage.setItem(kept, next);
  apply();
}

system.addEventListener('change', apply);
apply();
