import type { ParameterArena, Region } from './arena.js';

/** Settings of AdamW, named as in the paper. */
export interface AdamwOptions {
  /** @default 0.9 */
  readonly beta1: number;
  /** @default 0.95 */
  readonly beta2: number;
  /** @default 1e-8 */
  readonly epsilon: number;
  /** Decoupled weight decay; a step shrinks decayed parameters by lr * weightDecay. @default 0.1 */
  readonly weightDecay: number;
  /** Largest global gradient norm; 0 turns clipping off. @default 1 */
  readonly clip: number;
  /** Keep share of the parameter average per step; 0 turns it off. @default 0 */
  readonly average: number;
}

export const adamwDefaults: AdamwOptions = {
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
  average: 0,
};

/** `gradients += scratch`: adds one more micro-batch. */
export function accumulateGradients(arena: ParameterArena): void {
  arena.kernels.add(arena.address('gradients'), arena.address('scratch'), arena.regionBytes);
}

/** Global L2 norm of all gradients; the sum over blocks is in f64. */
export function gradientNorm(arena: ParameterArena): number {
  return Math.sqrt(arena.kernels.sumOfSquares(arena.address('gradients'), arena.regionBytes));
}

/**
 * One AdamW update (Loshchilov & Hutter 2019), from the gradients in the arena, of every parameter that is not Muon's. `step` counts from 1;
 * `norm` is the gradients' norm. The bias corrections are folded into alpha and epsilon, which changes rounding only.
 */
export function adamwStep(
  arena: ParameterArena,
  options: AdamwOptions,
  lr: number,
  step: number,
  norm: number,
): void {
  const { beta1, beta2, epsilon, weightDecay, clip, average } = options;
  const scale = clip > 0 && norm > clip ? clip / norm : 1;
  const correction1 = 1 - beta1 ** step;
  const correction2 = Math.sqrt(1 - beta2 ** step);
  const at = (region: Region, from: number) => arena.address(region) + from;
  const update = (from: number, to: number, decay: number) => {
    arena.kernels.adamw(
      at('parameters', from),
      at('gradients', from),
      at('m', from),
      at('v', from),
      to - from,
      beta1,
      (1 - beta1) * scale,
      beta2,
      (1 - beta2) * scale * scale,
      (lr / correction1) * correction2,
      epsilon * correction2,
      1 - lr * decay,
    );
  };
  update(arena.orthogonalizedBytes, arena.decayedBytes, weightDecay);
  update(arena.decayedBytes, arena.regionBytes, 0);
  if (average > 0) {
    // Early on the plain mean of what was seen: a long average would otherwise remember the initial weights.
    const keep = Math.min(average, step / (step + 9));
    arena.kernels.average(at('average', 0), at('parameters', 0), arena.regionBytes, 1 - keep);
  }
}
