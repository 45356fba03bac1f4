import type { Language } from '@edgedesk/models';
import type { Interval } from '../../statistics/bootstrap.js';
import { formatBytes, formatMilliseconds, significant } from '../format.js';
import { seriesCount } from '../html-style.js';
import type { EvalReport, SpeedReport } from '../schema.js';
import { reportTexts } from '../texts.js';
import { barChart } from './bar-chart.js';

interface Panel {
  readonly label: string;
  value(speed: SpeedReport): number | undefined;
  spread(speed: SpeedReport): Interval | undefined;
  format(value: number): string;
}

/** Decoding, prefill, first token and memory, a card each, since their units differ; whiskers from the fastest to the
 * slowest repeat. Empty when no report has speeds. */
export function speedCharts(reports: readonly EvalReport[], lang: Language): string {
  const texts = reportTexts[lang];
  const rate = (value: number) => `${significant(value)} ${texts.tokensPerSecond}`;
  const panels: Panel[] = [
    {
      label: texts.decode,
      value: (speed) => speed.decodeTokensPerSecond,
      spread: (speed) => speed.spread.decodeTokensPerSecond,
      format: rate,
    },
    {
      label: texts.prefill,
      value: (speed) => speed.prefillTokensPerSecond,
      spread: (speed) => speed.spread.prefillTokensPerSecond,
      format: rate,
    },
    {
      label: texts.ttft,
      value: (speed) => speed.ttftMs,
      spread: (speed) => speed.spread.ttftMs,
      format: formatMilliseconds,
    },
    {
      label: texts.peakRss,
      value: (speed) => speed.peakRssBytes,
      spread: () => undefined,
      format: formatBytes,
    },
  ];
  return panels
    .map(({ label, value, spread, format }) => {
      const bars = reports.flatMap(({ name, speed }, series) => {
        const figure = speed === undefined ? undefined : value(speed);
        if (speed === undefined || figure === undefined) return [];
        const text = format(figure);
        const interval = spread(speed);
        return [
          { series: series % seriesCount, value: figure, interval, text, hint: `${name}, ${label}: ${text}` },
        ];
      });
      return bars.length === 0
        ? ''
        : `<div class="card scroll">${barChart([{ label, bars }], { description: label })}</div>`;
    })
    .join('\n');
}
