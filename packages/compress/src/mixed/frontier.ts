import type { DecoderConfig } from '@edgedesk/models';
import { parameterCount } from '../model.js';
import { nbitFormat } from '../quantize/settings.js';
import { artefactSize, assignFormats } from './assign-formats.js';
import type { Sensitivity } from './sensitivity.js';

/** The best assignment within a budget. */
export interface FrontierPoint {
  readonly sizeBytes: number;
  readonly bitsPerWeight: number;
  /** Expected KL at the output, in nats a token. */
  readonly kl: number;
}

/** What each size buys: the best assignments for budgets from the smallest to the largest formats, evenly spread. */
export function frontierOf(sensitivity: Sensitivity, config: DecoderConfig, points = 16): FrontierPoint[] {
  const sizes = sensitivity.weights[0]!.choices.map(({ format }) =>
    artefactSize(config, () => nbitFormat(format)),
  );
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const parameters = parameterCount(config);
  const found = new Map<number, FrontierPoint>();
  for (let i = 0; i < points; i++) {
    const budget = Math.ceil(low + ((high - low) * i) / (points - 1));
    const { sizeBytes, kl } = assignFormats(sensitivity, config, budget, 'frontier');
    found.set(sizeBytes, { sizeBytes, bitsPerWeight: (8 * sizeBytes) / parameters, kl });
  }
  return [...found.values()].sort((a, b) => a.sizeBytes - b.sizeBytes);
}
