import type { Interval } from '../../statistics/bootstrap.js';
import { escapeMarkup, px, roundTicks } from '../markup.js';

export interface Bar {
  /** Index of the model: picks the colour. */
  readonly series: number;
  readonly value: number;
  readonly interval?: Interval | undefined;
  /** Written at the bar's end. */
  readonly text: string;
  /** Shown when pointed at. */
  readonly hint: string;
}

export interface BarGroup {
  readonly label: string;
  readonly bars: readonly Bar[];
}

export interface BarChartOptions {
  /** Read aloud in place of the picture. */
  readonly description: string;
  /** Right end of the axis. @default the largest value or bound */
  readonly max?: number;
  /** Ticks under the bars; none without. */
  readonly formatTick?: (value: number) => string;
}

const width = 720;
const labelWidth = 190;
/** Room behind the longest bar for its figure. */
const textWidth = 74;
const barHeight = 13;
const barGap = 3;
const groupGap = 14;

/** Horizontal bars in groups, one colour a model, with whiskers where an interval is known. Returns an SVG element. */
export function barChart(groups: readonly BarGroup[], options: BarChartOptions): string {
  const values = groups.flatMap(({ bars }) =>
    bars.flatMap(({ value, interval }) => [value, interval?.[1] ?? 0]),
  );
  const max = options.max ?? (Math.max(...values) || 1);
  const plotWidth = width - labelWidth - textWidth;
  const x = (value: number) => labelWidth + (Math.min(Math.max(value, 0), max) / max) * plotWidth;
  const parts: string[] = [];
  let y = 4;
  for (const { label, bars } of groups) {
    const height = bars.length * (barHeight + barGap) - barGap;
    parts.push(
      `<text class="label" x="${labelWidth - 10}" y="${px(y + height / 2)}" text-anchor="end" dominant-baseline="central">${escapeMarkup(label)}</text>`,
    );
    for (const bar of bars) {
      parts.push(barMarkup(bar, x, y));
      y += barHeight + barGap;
    }
    y += groupGap - barGap;
  }
  const bottom = y - groupGap + 6;
  const { formatTick } = options;
  const ticks = formatTick === undefined ? [] : roundTicks(0, max, 5);
  const grid = ticks.map(
    (tick) => `<line class="grid" x1="${px(x(tick))}" x2="${px(x(tick))}" y1="0" y2="${px(bottom)}"/>`,
  );
  const tickTexts = ticks.map(
    (tick) =>
      `<text class="tick" x="${px(x(tick))}" y="${px(bottom + 14)}" text-anchor="middle">${escapeMarkup(formatTick!(tick))}</text>`,
  );
  const height = bottom + (ticks.length > 0 ? 20 : 2);
  return (
    `<svg viewBox="0 0 ${width} ${px(height)}" role="img" aria-label="${escapeMarkup(options.description)}">` +
    grid.join('') +
    `<line class="axis" x1="${labelWidth}" x2="${labelWidth}" y1="0" y2="${px(bottom)}"/>` +
    parts.join('') +
    tickTexts.join('') +
    '</svg>'
  );
}

function barMarkup(bar: Bar, x: (value: number) => number, y: number): string {
  const start = x(0);
  const end = x(bar.value);
  const middle = y + barHeight / 2;
  let whisker = '';
  let textStart = end;
  if (bar.interval !== undefined) {
    const [low, high] = bar.interval.map(x) as [number, number];
    textStart = Math.max(end, high);
    whisker =
      `<path class="whisker" d="M${px(low)} ${px(middle)}H${px(high)}` +
      `M${px(low)} ${px(middle - 3)}v6M${px(high)} ${px(middle - 3)}v6"/>`;
  }
  return (
    `<g><title>${escapeMarkup(bar.hint)}</title>` +
    `<rect class="s${bar.series}" x="${px(start)}" y="${px(y)}" width="${px(Math.max(1, end - start))}" height="${barHeight}" rx="2"/>` +
    whisker +
    `<text class="value" x="${px(textStart + 6)}" y="${px(middle)}" dominant-baseline="central">${escapeMarkup(bar.text)}</text></g>`
  );
}
