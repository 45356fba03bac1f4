import { metricNames, metricTraits } from '../metrics/metric.js';
import type { DataReport } from './schema.js';

/** Below this the base itself cannot do the task: its share kept is noise divided by noise. */
const leastBaseValue = 0.05;

/** A task lost entirely counts as this much, so that one zero does not hide how the others went. */
const leastShare = 0.01;

/**
 * One figure for what is left of the base's quality: the geometric mean over data files of the geometric mean over each
 * file's headline metrics of `kept`, a gain counting as 1.
 *
 * Files weigh alike however many metrics they have. A gain is capped because doing better at one task does not pay for
 * failing another; so the figure leans low by about the noise of the metrics. Shares of which the base has less than
 * 0.05 are left out. Null when nothing is left to judge by.
 */
export function qualityKept(data: readonly Pick<DataReport, 'kept' | 'base'>[]): number | null {
  const perFile = data.flatMap(({ kept = {}, base = {} }) => {
    const logs = metricNames.flatMap((name) => {
      const share = kept[name];
      const value = base[name];
      const { headline, share: isShare, better } = metricTraits[name];
      if (!headline || share === undefined || share === null || value === undefined) return [];
      if (isShare && (better === 'higher' ? value : 1 - value) < leastBaseValue) return [];
      return [Math.log(Math.min(1, Math.max(leastShare, share)))];
    });
    return logs.length === 0 ? [] : [mean(logs)];
  });
  return perFile.length === 0 ? null : Math.exp(mean(perFile));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
