import type { Language } from '@edgedesk/models';
import { formatBytes, formatPercent } from '../format.js';
import { seriesCount } from '../html-style.js';
import { escapeMarkup, px, roundTicks } from '../markup.js';
import type { EvalReport } from '../schema.js';
import { reportTexts } from '../texts.js';

const width = 720;
const height = 300;
const margin = { left: 64, right: 110, top: 16, bottom: 44 };
/** A label closer than this to another is moved below its point. */
const crowdedPx = 16;

/** Each model as a point: its size across, its quality kept upwards. Empty when fewer than two have a quality. */
export function sizeQualityChart(reports: readonly EvalReport[], lang: Language): string {
  const texts = reportTexts[lang];
  const points = reports.flatMap(({ name, sizeBytes, qualityKept }, series) =>
    qualityKept === undefined ? [] : [{ name, sizeBytes, qualityKept, series }],
  );
  if (points.length < 2) return '';
  const largest = Math.max(...points.map(({ sizeBytes }) => sizeBytes)) * 1.05;
  const worst = Math.min(...points.map(({ qualityKept }) => qualityKept));
  const high = Math.max(1, ...points.map(({ qualityKept }) => qualityKept));
  const low = Math.max(0, worst - Math.max(0.02, (high - worst) * 0.25));
  const x = (bytes: number) => margin.left + (bytes / largest) * (width - margin.left - margin.right);
  const y = (share: number) =>
    margin.top + ((high - share) / (high - low)) * (height - margin.top - margin.bottom);
  const bottom = height - margin.bottom;
  const right = width - margin.right;

  const across = roundTicks(0, largest, 6).map(
    (tick) =>
      `<line class="grid" x1="${px(x(tick))}" x2="${px(x(tick))}" y1="${margin.top}" y2="${bottom}"/>` +
      `<text class="tick" x="${px(x(tick))}" y="${bottom + 16}" text-anchor="middle">${escapeMarkup(formatBytes(tick))}</text>`,
  );
  const upwards = roundTicks(low, high, 5).map(
    (tick) =>
      `<line class="grid" x1="${margin.left}" x2="${right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/>` +
      `<text class="tick" x="${margin.left - 8}" y="${px(y(tick))}" text-anchor="end" dominant-baseline="central">${formatPercent(tick)}</text>`,
  );
  const placed: { x: number; y: number }[] = [];
  const marks = points.map(({ name, sizeBytes, qualityKept, series }) => {
    const at = { x: x(sizeBytes), y: y(qualityKept) };
    const crowded = placed.some(
      (other) => Math.abs(other.y - at.y) < crowdedPx && Math.abs(other.x - at.x) < 120,
    );
    placed.push(at);
    const hint = `${name}: ${formatBytes(sizeBytes)}, ${texts.qualityKept} ${formatPercent(qualityKept)}`;
    return (
      `<g><title>${escapeMarkup(hint)}</title><circle class="s${series % seriesCount}" cx="${px(at.x)}" cy="${px(at.y)}" r="6"/>` +
      `<text class="value" x="${px(at.x + 11)}" y="${px(at.y + (crowded ? crowdedPx : 0))}" dominant-baseline="central">${escapeMarkup(name)}</text></g>`
    );
  });
  return (
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeMarkup(texts.sizeAndQuality)}">` +
    across.join('') +
    upwards.join('') +
    `<path class="axis" d="M${margin.left} ${margin.top}V${bottom}H${right}"/>` +
    `<text class="label" x="${(margin.left + right) / 2}" y="${height - 8}" text-anchor="middle">${escapeMarkup(texts.size)}</text>` +
    `<text class="label" transform="translate(14 ${(margin.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeMarkup(texts.qualityKept)}</text>` +
    marks.join('') +
    '</svg>'
  );
}
