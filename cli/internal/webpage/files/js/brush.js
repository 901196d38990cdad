// The brush: paints a mask over the picture to start from. The mask is white on black in the picture's own size.

import { html } from '../vendor/lit-html/lit-html.js';
import { change, state } from './store.js';

const tool = { size: 0.12, erase: false, strokes: [], stroke: null, cursor: null, painting: false };
const colour = 'rgb(224 92 40)';

/** begin takes up the strokes of the mask that is there. */
export function begin() {
  tool.strokes = [...(state.mask?.strokes ?? [])];
  tool.erase = false;
  tool.cursor = null;
}

export function brushDialog(close) {
  const { start } = state;
  const again = (f) => () => { f(); change(); };
  const done = () => keep().then(close);
  return html`<div class="brush">
    <h2>Paint what is to be made again</h2>
    <div class="canvas">
      <img src=${start.url} alt=${start.name}>
      <canvas tabindex="0" autofocus aria-label="Mask. Arrow keys move the brush, the space bar paints."
        width=${start.width} height=${start.height} @pointerdown=${down} @pointermove=${move} @pointerup=${up} @pointercancel=${up}
        @keydown=${key}></canvas>
    </div>
    <div class="tools">
      <label>Brush <input type="range" min="0.01" max="0.4" step="0.01" .value=${String(tool.size)}
        @input=${(e) => { tool.size = Number(e.target.value); change(); }}></label>
      <button type="button" aria-pressed=${!tool.erase} @click=${again(() => { tool.erase = false; })}>Paint</button>
      <button type="button" aria-pressed=${tool.erase} @click=${again(() => { tool.erase = true; })}>Erase</button>
      <button type="button" ?disabled=${!tool.strokes.length} @click=${again(() => tool.strokes.pop())}>Undo</button>
      <button type="button" ?disabled=${!tool.strokes.length} @click=${again(() => { tool.strokes = []; })}>Clear</button>
      <button type="button" @click=${again(() => tool.strokes.push({ invert: true }))}>Invert</button>
    </div>
    <div class="buttons"><button type="button" @click=${close}>Cancel</button>
      <button type="button" class="primary" @click=${done}>Use the mask</button></div>
  </div>`;
}

/** paint draws the strokes. It is called after the dialog was drawn. */
export function paint(canvas) {
  const c = canvas.getContext('2d');
  draw(c, canvas.width, canvas.height, colour);
  if (!tool.cursor) return;
  c.lineWidth = Math.max(1, canvas.width / 300);
  c.strokeStyle = '#fff';
  c.beginPath();
  c.arc(tool.cursor.x * canvas.width, tool.cursor.y * canvas.height, radius(canvas.width, canvas.height), 0, 7);
  c.stroke();
}

const radius = (width, height) => tool.size * Math.min(width, height) / 2;

/** draw draws the strokes in one colour on a ground that is transparent. */
function draw(c, width, height, ink) {
  c.clearRect(0, 0, width, height);
  for (const stroke of tool.strokes) {
    c.globalCompositeOperation = stroke.invert ? 'xor' : stroke.erase ? 'destination-out' : 'source-over';
    c.fillStyle = c.strokeStyle = ink;
    if (stroke.invert) {
      c.fillRect(0, 0, width, height);
      continue;
    }
    c.lineWidth = stroke.size * Math.min(width, height);
    c.lineCap = c.lineJoin = 'round';
    c.beginPath();
    for (const { x, y } of stroke.points) c.lineTo(x * width, y * height);
    if (stroke.points.length === 1) c.lineTo(stroke.points[0].x * width + 0.01, stroke.points[0].y * height);
    c.stroke();
  }
  c.globalCompositeOperation = 'source-over';
}

function at(e) {
  const box = e.currentTarget.getBoundingClientRect();
  return { x: (e.clientX - box.left) / box.width, y: (e.clientY - box.top) / box.height };
}

function down(e) {
  if (e.button) return;
  e.currentTarget.setPointerCapture(e.pointerId);
  tool.painting = true;
  tool.strokes.push({ size: tool.size, erase: tool.erase, points: [at(e)] });
  change();
}

function move(e) {
  tool.cursor = at(e);
  if (tool.painting) tool.strokes.at(-1).points.push(tool.cursor);
  change();
}

function up() {
  tool.painting = false;
}

const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(e) {
  const step = steps[e.key];
  if (!step && e.key !== ' ') return;
  e.preventDefault();
  const far = e.shiftKey ? 0.01 : tool.size / 2;
  const old = tool.cursor ?? { x: 0.5, y: 0.5 };
  const clip = (n) => Math.min(1, Math.max(0, n));
  tool.cursor = step ? { x: clip(old.x + step[0] * far), y: clip(old.y + step[1] * far) } : old;
  if (!step) tool.strokes.push({ size: tool.size, erase: tool.erase, points: [tool.cursor] });
  change();
}

/** keep makes the mask of the strokes. */
async function keep() {
  const { start } = state;
  if (!tool.strokes.length) {
    change((s) => { s.mask = null; });
    return;
  }
  const canvas = new OffscreenCanvas(start.width, start.height);
  const c = canvas.getContext('2d');
  draw(c, start.width, start.height, '#fff');
  c.globalCompositeOperation = 'destination-over';
  c.fillStyle = '#000';
  c.fillRect(0, 0, start.width, start.height);
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  change((s) => { s.mask = { blob, url: URL.createObjectURL(blob), strokes: tool.strokes }; });
}
