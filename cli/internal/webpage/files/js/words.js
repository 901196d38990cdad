// Numbers in words.

/** about writes seconds as one says them: "3 s", "2 min", "1 h 10 min". */
export function about(seconds) {
  if (seconds < 1) return 'less than 1 s';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
}

/** when writes a time: of today only the hour. */
export function when(iso) {
  const t = new Date(iso);
  const today = t.toDateString() === new Date().toDateString();
  return t.toLocaleString([], today ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' });
}
