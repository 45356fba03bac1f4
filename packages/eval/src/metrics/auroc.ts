/** AUROC with each row counted `weights[row]` times (once without weights); NaN when either class is empty. */
export type WeightedAuroc = (weights?: ArrayLike<number>) => number;

/**
 * Area under the ROC curve: the chance that a positive scores above a negative, ties counting half (the Mann-Whitney U
 * statistic over |positives| |negatives|). Sorts once, so that resampling costs one pass a resample.
 */
export function auroc(scores: ArrayLike<number>, positive: ArrayLike<boolean>): WeightedAuroc {
  const order = Uint32Array.from({ length: scores.length }, (_, i) => i);
  order.sort((a, b) => scores[a]! - scores[b]!);
  return (weights) => {
    let U = 0;
    let positives = 0;
    let negativesBelow = 0;
    for (let start = 0; start < order.length;) {
      const score = scores[order[start]!]!;
      let tiedPositives = 0;
      let tiedNegatives = 0;
      for (; start < order.length && scores[order[start]!] === score; start++) {
        const row = order[start]!;
        const weight = weights?.[row] ?? 1;
        if (positive[row]) tiedPositives += weight;
        else tiedNegatives += weight;
      }
      U += tiedPositives * (negativesBelow + tiedNegatives / 2);
      positives += tiedPositives;
      negativesBelow += tiedNegatives;
    }
    return U / (positives * negativesBelow);
  };
}
