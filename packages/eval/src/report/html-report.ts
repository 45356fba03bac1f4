import type { Language } from '@edgedesk/models';
import { metricNames, metricTraits } from '../metrics/metric.js';
import type { MetricName } from '../metrics/metric.js';
import { barChart } from './charts/bar-chart.js';
import type { BarGroup } from './charts/bar-chart.js';
import { sizeQualityChart } from './charts/size-quality-chart.js';
import { speedCharts } from './charts/speed-charts.js';
import {
  formatCount,
  formatBytes,
  formatFigure,
  formatMetric,
  formatMilliseconds,
  formatPercent,
  significant,
} from './format.js';
import { htmlPage } from './html-page.js';
import { seriesCount } from './html-style.js';
import { escapeMarkup } from './markup.js';
import { noteText } from './notes.js';
import type { EvalReport } from './schema.js';
import { reportTexts } from './texts.js';

export interface HtmlReportOptions {
  /** @default 'en' */
  readonly lang?: Language;
  /** @default the language's word for an evaluation report */
  readonly title?: string;
}

/**
 * Reports of one or more models, the base first, as one HTML page with plots. The page asks nothing of the network, has
 * no script to run, follows the reader's light or dark scheme and carries the reports as JSON (`#reports`).
 */
export function htmlReport(reports: readonly EvalReport[], options: HtmlReportOptions = {}): string {
  const { lang = 'en' } = options;
  const texts = reportTexts[lang];
  const scatter = sizeQualityChart(reports, lang);
  const speed = speedCharts(reports, lang);
  const settings = reports[0]?.settings;
  const body = `${legend(reports)}
<h2>${texts.summary}</h2>
<div class="card scroll">${summary(reports, lang)}</div>
${scatter === '' ? '' : `<h2>${texts.sizeAndQuality}</h2>\n<div class="card scroll">${scatter}</div>`}
<h2>${texts.data}</h2>
<p class="soft">${texts.keptInBrackets}</p>
${(reports[0]?.data ?? []).map((_, index) => fileCard(reports, index, lang)).join('\n')}
${speed === '' ? '' : `<h2>${texts.speed}</h2>\n${speed}`}
<h2>${texts.howMade}</h2>
<p class="soft">${texts.method}</p>
${settings === undefined ? '' : `<p class="soft">${texts.settings(settings.limit, settings.replyTokens, settings.seed)}</p>`}`;
  return htmlPage({
    lang,
    title: options.title ?? texts.title,
    body,
    data: { id: 'reports', value: reports },
  });
}

function legend(reports: readonly EvalReport[]): string {
  const items = reports.map(
    ({ name }, i) => `<li><span class="dot s${i % seriesCount}"></span>${escapeMarkup(name)}</li>`,
  );
  return `<ul class="legend">${items.join('')}</ul>`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: 'th' | 'td', values: readonly string[]) =>
    `<tr>${values.map((value) => `<${tag}>${escapeMarkup(value)}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${cells('th', header)}</thead><tbody>${rows.map((row) => cells('td', row)).join('')}</tbody></table>`;
}

function summary(reports: readonly EvalReport[], lang: Language): string {
  const texts = reportTexts[lang];
  const largest = reports[0]?.base?.sizeBytes ?? reports[0]?.sizeBytes ?? 0;
  const header = [
    texts.model,
    texts.size,
    texts.smaller,
    texts.parameters,
    texts.bitsPerWeight,
    texts.qualityKept,
  ];
  const speedHeader = [texts.ttft, texts.prefill, texts.decode, texts.peakRss];
  const withSpeed = reports.some(({ speed }) => speed !== undefined);
  const perSecond = (rate: number | undefined) =>
    rate === undefined ? '–' : `${significant(rate)} ${texts.tokensPerSecond}`;
  const rows = reports.map(({ name, sizeBytes, parameters, bitsPerWeight, qualityKept, speed }) => [
    name,
    formatBytes(sizeBytes),
    sizeBytes > 0 ? `${(largest / sizeBytes).toFixed(2)}×` : '–',
    formatCount(parameters),
    bitsPerWeight.toFixed(2),
    qualityKept === undefined ? '–' : formatPercent(qualityKept),
    ...(withSpeed
      ? [
          speed === undefined ? '–' : formatMilliseconds(speed.ttftMs),
          perSecond(speed?.prefillTokensPerSecond),
          perSecond(speed?.decodeTokensPerSecond),
          speed?.peakRssBytes === undefined ? '–' : formatBytes(speed.peakRssBytes),
        ]
      : []),
  ]);
  return table([...header, ...(withSpeed ? speedHeader : [])], rows);
}

/** One data file: its shares as bars with whiskers, and every figure in a table. */
function fileCard(reports: readonly EvalReport[], index: number, lang: Language): string {
  const texts = reportTexts[lang];
  const { file, rows, available, notes } = reports[0]!.data[index]!;
  const names = metricNames.filter((name) =>
    reports.some(({ data }) => data[index]?.metrics[name] !== undefined),
  );
  const groups = names
    .filter((name) => metricTraits[name].share)
    .map((name): BarGroup => barGroup(reports, index, name, lang));
  const chart =
    groups.length === 0
      ? ''
      : barChart(groups, { description: file, max: 1, formatTick: (tick) => `${Math.round(tick * 100)}%` });
  const figures = names.map((name) => [
    texts.metrics[name],
    ...reports.map((report) => formatFigure(report, index, name)),
  ]);
  const body = names.length === 0 ? '' : table([texts.metric, ...reports.map(({ name }) => name)], figures);
  return (
    `<div class="card"><h3>${escapeMarkup(file)}</h3><p class="soft">${texts.rows(rows, available)}</p>` +
    `<div class="scroll">${chart}${body}</div>` +
    `${notes.map((note) => `<p class="soft">${escapeMarkup(noteText(note, lang))}</p>`).join('')}</div>`
  );
}

function barGroup(reports: readonly EvalReport[], index: number, name: MetricName, lang: Language): BarGroup {
  const label = reportTexts[lang].metrics[name];
  return {
    label,
    bars: reports.flatMap(({ name: model, data }, series) => {
      const value = data[index]?.metrics[name];
      if (value === undefined) return [];
      const interval = data[index]?.intervals[name];
      const range =
        interval === undefined ? '' : ` [${interval.map((bound) => formatMetric(name, bound)).join(', ')}]`;
      const text = formatMetric(name, value);
      return [
        { series: series % seriesCount, value, interval, text, hint: `${model}, ${label}: ${text}${range}` },
      ];
    }),
  };
}
