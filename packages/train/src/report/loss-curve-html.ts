import type { TrainState } from '../trainer/train-state.js';
import { chartScale, linePath, thin, ticksOf, type Point } from './chart.js';

const width = 860;
const height = 380;
const margin = { left: 56, right: 56, top: 16, bottom: 44 };
/** More points than pixels only make the file larger. */
const maxPoints = 1500;
/** Steps that the training curve is smoothed over, as a share of all. */
const smoothing = 0.01;

/**
 * The loss curve of a run as one HTML file without scripts or outside parts: training loss (thin: every step, bold:
 * smoothed), held-out loss by file, learning rate on the right axis. Follows the reader's dark or light theme.
 */
export function lossCurveHtml(name: string, state: TrainState): string {
  const { steps, evaluations } = state;
  const title = escape(name);
  if (steps.length === 0) return page(title, '<p>No step was made yet.</p>');
  const raw = steps.map(({ step, loss }) => ({ x: step, y: loss })).filter(({ y }) => Number.isFinite(y));
  const smooth = smoothed(raw, Math.max(1, Math.round(raw.length * smoothing)));
  const sets = [...new Set(evaluations.flatMap((point) => Object.keys(point.sets)))];
  const heldOut = sets.map((set) => ({
    set,
    points: evaluations.map(({ step, sets: losses }) => ({ x: step, y: losses[set] ?? NaN })),
  }));
  const shown = [...smooth, ...heldOut.flatMap(({ points }) => points)].filter(({ y }) => Number.isFinite(y));
  const low = Math.min(...shown.map(({ y }) => y));
  const high = Math.max(...shown.map(({ y }) => y));
  const room = Math.max(0.05, (high - low) * 0.05);
  const lastStep = steps.at(-1)!.step;
  const peak = Math.max(...steps.map(({ lr }) => lr), Number.MIN_VALUE);

  const x = chartScale(0, lastStep, margin.left, width - margin.right);
  const y = chartScale(Math.max(0, low - room), high + room, height - margin.bottom, margin.top);
  const lr = chartScale(0, peak * 1.05, height - margin.bottom, margin.top);
  const clip = (points: readonly Point[]) => thin(points, maxPoints);
  const plot = [
    ...ticksOf(0, lastStep, 8).map(
      (tick) =>
        `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${margin.top}" y2="${height - margin.bottom}"/>` +
        `<text x="${x(tick)}" y="${height - margin.bottom + 16}" text-anchor="middle">${tick}</text>`,
    ),
    ...ticksOf(Math.max(0, low - room), high + room, 7).map(
      (tick) =>
        `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${y(tick)}" y2="${y(tick)}"/>` +
        `<text x="${margin.left - 8}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`,
    ),
    ...ticksOf(0, peak * 1.05, 4).map(
      (tick) =>
        `<text class="lr" x="${width - margin.right + 8}" y="${lr(tick) + 4}">${tick.toExponential(0)}</text>`,
    ),
    `<clipPath id="plot"><rect x="${margin.left}" y="${margin.top}" width="${width - margin.left - margin.right}" height="${height - margin.top - margin.bottom}"/></clipPath>`,
    '<g clip-path="url(#plot)" fill="none">',
    `<path class="lr" d="${linePath(clip(steps.map((point) => ({ x: point.step, y: point.lr }))), x, lr)}"/>`,
    `<path class="raw" d="${linePath(clip(raw), x, y)}"/>`,
    `<path class="train" d="${linePath(clip(smooth), x, y)}"/>`,
    ...heldOut.map(
      ({ points }, i) => `<path class="held" style="stroke:${hue(i)}" d="${linePath(points, x, y)}"/>`,
    ),
    '</g>',
    ...heldOut.flatMap(({ points }, i) =>
      points
        .filter((point) => Number.isFinite(point.y))
        .map((point) => `<circle cx="${x(point.x)}" cy="${y(point.y)}" r="2.5" fill="${hue(i)}"/>`),
    ),
    `<text x="${(margin.left + width - margin.right) / 2}" y="${height - 8}" text-anchor="middle">step</text>`,
    `<text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">loss (nats a token)</text>`,
    `<text class="lr" transform="translate(${width - 6} ${height / 2}) rotate(-90)" text-anchor="middle">learning rate</text>`,
  ].join('\n');
  const legend = [
    `<li><i class="train"></i>training ${smooth.at(-1)?.y.toFixed(3) ?? ''}</li>`,
    ...heldOut.map(
      ({ set, points }, i) =>
        `<li><i style="background:${hue(i)}"></i>${escape(set)} ${points.at(-1)?.y.toFixed(3) ?? ''}</li>`,
    ),
    '<li><i class="lr"></i>learning rate</li>',
  ].join('');
  const { tokens, elapsedMs } = state;
  return page(
    title,
    `<p>${lastStep} steps, ${(tokens / 1e6).toFixed(2)} M positions, ${(elapsedMs / 60_000).toFixed(1)} minutes</p>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Loss by step">
${plot}
</svg>
<ul>${legend}</ul>`,
  );
}

/** Mean over the last `window` points. */
function smoothed(points: readonly Point[], window: number): Point[] {
  let sum = 0;
  return points.map(({ x, y }, i) => {
    sum += y - (i >= window ? points[i - window]!.y : 0);
    return { x, y: sum / Math.min(window, i + 1) };
  });
}

/** Colours that stay apart: the golden angle around the wheel. */
function hue(index: number): string {
  return `hsl(${Math.round(25 + index * 137.5) % 360} 70% 50%)`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}: loss curve</title>
<style>
:root { color-scheme: light dark; --ink: #222; --faint: #8884; --train: #2563eb; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --train: #7aa2ff; --paper: #15171c; } }
body { font: 14px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; }
svg text { fill: var(--ink); font-size: 11px; }
.grid { stroke: var(--faint); }
path.raw { stroke: var(--train); stroke-width: .6; opacity: .35; }
path.train { stroke: var(--train); stroke-width: 2; }
path.held { stroke-width: 1.5; }
path.lr { stroke: #888; stroke-width: 1; stroke-dasharray: 4 3; }
svg text.lr { fill: #888; }
ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
li i { display: inline-block; width: 1em; height: .3em; margin-right: .4em; vertical-align: middle; }
i.train { background: var(--train); }
i.lr { background: #888; }
</style>
<h1>${title}</h1>
${body}
</html>
`;
}
