import type { Language } from '@edgedesk/models';
import { metricNames } from '../metrics/metric.js';
import { formatBytes, formatFigure, formatMilliseconds, formatPercent, significant } from './format.js';
import { noteText } from './notes.js';
import type { EvalReport } from './schema.js';
import { textTable } from './text-table.js';
import { reportTexts } from './texts.js';

export interface TableOptions {
  /** @default 'en' */
  readonly lang?: Language;
}

/**
 * Reports of one or more models as plain text: what they weigh, how fast they are and what they keep, then each data
 * file with a column a model. Sizes are set against the first report's.
 */
export function reportTable(reports: readonly EvalReport[], { lang = 'en' }: TableOptions = {}): string {
  const texts = reportTexts[lang];
  const withKept = reports.some(({ data }) => data.some(({ kept }) => kept !== undefined));
  const parts = [summaryTable(reports, lang)];
  for (const [index, { file, rows, available, notes }] of (reports[0]?.data ?? []).entries()) {
    const names = metricNames.filter((name) =>
      reports.some(({ data }) => data[index]?.metrics[name] !== undefined),
    );
    const title = `${file} (${texts.rows(rows, available)})`;
    const cells = names.map((name) => [
      texts.metrics[name],
      ...reports.map((report) => formatFigure(report, index, name)),
    ]);
    const table =
      names.length === 0 ? [] : [textTable([texts.metric, ...reports.map(({ name }) => name)], cells)];
    parts.push([title, ...table, ...notes.map((note) => noteText(note, lang))].join('\n'));
  }
  if (withKept) parts.push(texts.keptInBrackets);
  return parts.join('\n\n') + '\n';
}

function summaryTable(reports: readonly EvalReport[], lang: Language): string {
  const texts = reportTexts[lang];
  const withSpeed = reports.some(({ speed }) => speed !== undefined);
  const withMemory = reports.some(({ speed }) => speed?.peakRssBytes !== undefined);
  const largest = reports[0]?.base?.sizeBytes ?? reports[0]?.sizeBytes ?? 0;
  const perSecond = (rate: number | undefined) =>
    rate === undefined ? '–' : `${significant(rate)} ${texts.tokensPerSecond}`;
  const header = [
    texts.model,
    texts.size,
    texts.smaller,
    texts.bitsPerWeight,
    texts.qualityKept,
    ...(withSpeed ? [texts.ttft, texts.prefill, texts.decode] : []),
    ...(withMemory ? [texts.peakRss] : []),
  ];
  const rows = reports.map(({ name, sizeBytes, bitsPerWeight, qualityKept, speed }) => [
    name,
    formatBytes(sizeBytes),
    sizeBytes > 0 ? `${(largest / sizeBytes).toFixed(2)}×` : '–',
    bitsPerWeight.toFixed(2),
    qualityKept === undefined ? '–' : formatPercent(qualityKept),
    ...(withSpeed
      ? [
          speed === undefined ? '–' : formatMilliseconds(speed.ttftMs),
          perSecond(speed?.prefillTokensPerSecond),
          perSecond(speed?.decodeTokensPerSecond),
        ]
      : []),
    ...(withMemory ? [speed?.peakRssBytes === undefined ? '–' : formatBytes(speed.peakRssBytes)] : []),
  ]);
  return textTable(header, rows);
}
