import { metricTraits } from '../metrics/metric.js';
import type { MetricName } from '../metrics/metric.js';
import { isBaseReport } from './schema.js';
import type { EvalReport } from './schema.js';

/** Decimal units (MB = 10^6), as file listings and shops count. */
export function formatBytes(bytes: number): string {
  if (bytes > 0 && bytes < 1e6) return `${significant(bytes / 1e3)} kB`;
  const megabytes = bytes / 1e6;
  if (megabytes >= 1000) return `${(megabytes / 1000).toFixed(2)} GB`;
  return `${significant(megabytes)} MB`;
}

export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

export function formatMetric(name: MetricName, value: number): string {
  return metricTraits[name].share ? formatPercent(value) : significant(value);
}

export function formatMilliseconds(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${significant(ms)} ms`;
}

export function formatCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)}B`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1)}M`;
  return String(Math.round(count));
}

/** Three significant digits, without an exponent for large numbers. */
export function significant(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}

/** A metric of the report's file number `index` with the share kept behind it; the base keeps all, which goes without saying. */
export function formatFigure(report: EvalReport, index: number, name: MetricName): string {
  const file = report.data[index];
  const value = file?.metrics[name];
  if (value === undefined) return '–';
  const share = isBaseReport(report) ? undefined : file?.kept?.[name];
  if (share === undefined) return formatMetric(name, value);
  return `${formatMetric(name, value)} (${share === null ? '–' : formatPercent(share)})`;
}
