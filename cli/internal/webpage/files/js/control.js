// ControlNets: the picture that controls, and the map that a preprocessor makes of it.

import { html, nothing } from '../vendor/lit-html/lit-html.js';
import { live } from '../vendor/lit-html/directives/live.js';
import { call, upload } from './api.js';
import { choice, number, toNumber, written } from './fields.js';
import { picker } from './picker.js';
import { set, value } from './settings.js';
import { change, state } from './store.js';

export function controls() {
  const names = state.catalog.controlnets;
  const used = state.settings.controlnet ?? [];
  if (!names.length && !used.length) {
    return html`<p class="note">This server has no ControlNets. Whoever runs it can add a folder:
      <code>daguerre serve --controlnet-dir FOLDER</code>.</p>`;
  }
  return html`${used.map(unit)}
    ${used.length < 4 ? html`<button type="button" @click=${() => set('controlnet', [...used, { model: names[0] }])}>
      Add a ControlNet</button>` : nothing}`;
}

function unit(net, index) {
  const at = (key) => `controlnet.${index}.${key}`;
  const preprocessors = state.catalog.preprocessors.map((p) => p.name).filter((n) => n !== 'none');
  return html`<div class="card">
    <div class="head"><strong>ControlNet ${index + 1}</strong>
      <button type="button" class="icon" aria-label=${`Remove ControlNet ${index + 1}`}
        @click=${() => set('controlnet', state.settings.controlnet.filter((n) => n !== net))}>✕</button></div>
    ${choice(at('model'), 'Net', { options: state.catalog.controlnets, none: false })}
    ${picker(`control-${index}`, 'Picture that controls', net.picture, (p) => { set(at('picture'), p); set(at('map'), undefined); })}
    ${choice(at('preprocessor'), 'Preprocessor', { options: preprocessors, none: 'none: the picture is a map' })}
    ${options(net, at('preprocessor_options'))}
    ${net.preprocessor && net.picture ? html`<div class="map">
      <button type="button" ?disabled=${net.map?.busy} @click=${() => preview(index)}>
        ${net.map?.busy ? 'Computing …' : 'Preview the map'}</button>
      ${net.map?.error ? html`<p class="mistake" role="alert">${net.map.error}</p>` : nothing}
      ${net.map?.url ? html`<img src=${net.map.url} alt="The map that the ControlNet gets">` : nothing}</div>` : nothing}
    ${number(at('weight'), 'Weight', { soft: [0, 2, 0.05] })}
    <div class="row">${number(at('start'), 'From')} ${number(at('end'), 'Until')}</div>
    ${choice(at('control_mode'), 'More important')}
    ${choice(at('resize_mode'), 'Other proportions')}
  </div>`;
}

/** options are the preprocessor's own, as the server describes them. */
function options(net, path) {
  const known = state.catalog.preprocessors.find((p) => p.name === net.preprocessor)?.options ?? [];
  return known.map((o) => {
    const id = `${path}-${o.name}`;
    const label = o.name.replaceAll('_', ' ');
    if (o.switch) {
      return html`<label class="check"><input type="checkbox" .checked=${live(Boolean(net.preprocessor_options?.[o.name] ?? o.default))}
        @change=${(e) => set(`${path}.${o.name}`, e.target.checked)}> ${label}: ${o.doc}</label>`;
    }
    return html`<div class="field"><div class="label"><label for=${id}>${label}</label></div>
      <input id=${id} type="number" min=${o.min} max=${o.max} step="any" placeholder=${o.default} aria-describedby=${`${id}-help`}
        .value=${written(id, net.preprocessor_options?.[o.name])}
        @input=${(e) => set(`${path}.${o.name}`, toNumber(e.target.value))}>
      <p class="note" id=${`${id}-help`}>${o.doc}</p></div>`;
  });
}

/** preview asks for the map of a picture, in the size that the run would have. */
async function preview(index) {
  const at = `controlnet.${index}`;
  const net = value(at);
  set(`${at}.map`, { busy: true });
  try {
    const { width = state.size?.width, height = state.size?.height } = state.settings;
    const size = width && height ? `?width=${width}&height=${height}` : '';
    const body = { image: await upload(net.picture.blob), preprocessor: net.preprocessor,
      ...(net.resize_mode && { resize_mode: net.resize_mode }),
      ...(net.preprocessor_options && { preprocessor_options: net.preprocessor_options }) };
    const answer = await call('POST', `/v1/controlmap${size}`, { body: JSON.stringify(body), type: 'application/json' });
    set(`${at}.map`, { url: URL.createObjectURL(await answer.blob()) });
  } catch (err) {
    set(`${at}.map`, { error: err.message });
  }
  change();
}
