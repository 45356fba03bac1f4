import type { FrontierPoint, Sensitivity } from '@edgedesk/compress';
import { escapeMarkup, htmlPage, px, roundTicks } from '@edgedesk/eval';
import type { Language } from '@edgedesk/models';
import { formatBytes } from '../terminal/format.js';
import type { SensitivityGrid } from './sensitivity-grid.js';
import { sensitivityGrid } from './sensitivity-grid.js';
import { sensitivityWords } from './sensitivity-words.js';

/** The measurements as one HTML page: a map of the layers and what each size buys; the numbers are in it as JSON (`#sensitivity`). */
export function sensitivityHtml(
  sensitivity: Sensitivity,
  frontier: readonly FrontierPoint[],
  lang: Language,
): string {
  const words = sensitivityWords[lang];
  const grid = sensitivityGrid(sensitivity);
  const { method, probeTokens } = sensitivity;
  const body = `<h2>${words.layers}</h2>
<p class="soft">${escapeMarkup(words.measured(grid.bits, method, probeTokens))}</p>
<div class="card scroll">${heatMap(grid, lang)}</div>
<ul class="legend">${grid.outer
    .map(
      ({ name, kl, bits }) => `<li>${words.outer[name]} (${words.at(bits)}): ${(kl * 1000).toFixed(2)}</li>`,
    )
    .join('')}</ul>
<h2>${words.budgets}</h2>
<p class="soft">${escapeMarkup(words.budgetsNote)}</p>
<div class="card scroll">${curve(frontier, lang)}</div>
<div class="card scroll">${table(frontier, lang)}</div>`;
  return htmlPage({
    lang,
    title: words.title(sensitivity.model),
    body,
    data: { id: 'sensitivity', value: { ...sensitivity, frontier } },
    style: 'svg .cell{fill:var(--s1)}svg .curve{stroke:var(--s1);stroke-width:2;fill:none}',
  });
}

const cell = { width: 88, height: 20, left: 64, top: 26 };

/** A square a layer, the fuller the more sensitive; square roots, so that quiet layers still differ. */
function heatMap({ roles, blocks }: SensitivityGrid, lang: Language): string {
  const words = sensitivityWords[lang];
  const most = Math.max(...blocks.flat(), Number.MIN_VALUE);
  const width = cell.left + roles.length * cell.width + 10;
  const height = cell.top + blocks.length * cell.height + 6;
  const parts = roles.map(
    (role, i) =>
      `<text class="tick" x="${px(cell.left + (i + 0.5) * cell.width)}" y="${cell.top - 8}" text-anchor="middle">${role}</text>`,
  );
  for (const [layer, own] of blocks.entries()) {
    const y = cell.top + layer * cell.height;
    const middle = px(y + cell.height / 2);
    parts.push(
      `<text class="tick" x="${cell.left - 8}" y="${middle}" text-anchor="end" dominant-baseline="central">${layer}</text>`,
    );
    for (const [i, kl] of own.entries()) {
      const x = cell.left + i * cell.width;
      const hint = `${words.block} ${layer}, ${roles[i]}: ${(kl * 1000).toFixed(3)}`;
      parts.push(
        `<g><title>${escapeMarkup(hint)}</title>` +
          `<rect class="cell" x="${px(x + 1)}" y="${px(y + 1)}" width="${cell.width - 2}" height="${cell.height - 2}" rx="3" opacity="${(0.06 + 0.74 * Math.sqrt(kl / most)).toFixed(3)}"/>` +
          `<text class="value" x="${px(x + cell.width / 2)}" y="${middle}" text-anchor="middle" dominant-baseline="central">${(kl * 1000).toFixed(2)}</text></g>`,
      );
    }
  }
  const label = escapeMarkup(words.layers);
  return `<svg viewBox="0 0 ${px(width)} ${px(height)}" role="img" aria-label="${label}">${parts.join('')}</svg>`;
}

const plot = { width: 720, height: 300, left: 64, right: 24, top: 16, bottom: 44 };

/** Expected KL, on a logarithmic axis, over the size. */
function curve(frontier: readonly FrontierPoint[], lang: Language): string {
  const words = sensitivityWords[lang];
  const shown = frontier.filter(({ kl }) => kl > 0);
  if (shown.length < 2) return '';
  const sizes = shown.map(({ sizeBytes }) => sizeBytes);
  const powers = shown.map(({ kl }) => Math.log10(kl));
  const [low, high] = [Math.floor(Math.min(...powers)), Math.ceil(Math.max(...powers))];
  const [small, large] = [Math.min(...sizes), Math.max(...sizes)];
  const right = plot.width - plot.right;
  const bottom = plot.height - plot.bottom;
  const x = (bytes: number) => plot.left + ((bytes - small) / (large - small || 1)) * (right - plot.left);
  const y = (power: number) => plot.top + ((high - power) / (high - low || 1)) * (bottom - plot.top);
  const across = roundTicks(small, large, 6).map(
    (tick) =>
      `<line class="grid" x1="${px(x(tick))}" x2="${px(x(tick))}" y1="${plot.top}" y2="${bottom}"/>` +
      `<text class="tick" x="${px(x(tick))}" y="${bottom + 16}" text-anchor="middle">${escapeMarkup(formatBytes(tick))}</text>`,
  );
  const upwards = Array.from({ length: high - low + 1 }, (_, i) => low + i).map(
    (power) =>
      `<line class="grid" x1="${plot.left}" x2="${right}" y1="${px(y(power))}" y2="${px(y(power))}"/>` +
      `<text class="tick" x="${plot.left - 8}" y="${px(y(power))}" text-anchor="end" dominant-baseline="central">${Number(`1e${power}`)}</text>`,
  );
  const points = shown.map(({ sizeBytes, kl }) => [x(sizeBytes), y(Math.log10(kl))] as const);
  const marks = shown.map(({ sizeBytes, bitsPerWeight, kl }, i) => {
    const hint = `${formatBytes(sizeBytes)}, ${bitsPerWeight.toFixed(2)} ${words.bitsPerWeight}: ${kl.toFixed(4)}`;
    return `<g><title>${escapeMarkup(hint)}</title><circle class="s1" cx="${px(points[i]![0])}" cy="${px(points[i]![1])}" r="4"/></g>`;
  });
  return (
    `<svg viewBox="0 0 ${plot.width} ${plot.height}" role="img" aria-label="${escapeMarkup(words.budgets)}">` +
    across.join('') +
    upwards.join('') +
    `<path class="axis" d="M${plot.left} ${plot.top}V${bottom}H${right}"/>` +
    `<path class="curve" d="M${points.map(([px1, py1]) => `${px(px1)} ${px(py1)}`).join('L')}"/>` +
    marks.join('') +
    `<text class="label" x="${(plot.left + right) / 2}" y="${plot.height - 8}" text-anchor="middle">${escapeMarkup(words.size)}</text>` +
    `<text class="label" transform="translate(14 ${(plot.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeMarkup(words.kl)}</text>` +
    '</svg>'
  );
}

function table(frontier: readonly FrontierPoint[], lang: Language): string {
  const words = sensitivityWords[lang];
  const head = [words.size, words.bitsPerWeight, words.kl].map((text) => `<th>${escapeMarkup(text)}</th>`);
  const rows = frontier.map(
    ({ sizeBytes, bitsPerWeight, kl }) =>
      `<tr><td>${formatBytes(sizeBytes)}</td><td>${bitsPerWeight.toFixed(2)}</td><td>${kl.toFixed(4)}</td></tr>`,
  );
  return `<table><thead><tr>${head.join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
}
