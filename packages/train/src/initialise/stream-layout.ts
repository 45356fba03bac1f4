import type { DecoderConfig } from '@edgedesk/models';
import { RecipeError } from '@edgedesk/tensor';

/** Value of the one coordinate that all embeddings share; the others are normal with deviation 1. */
export const constantValue = 8;
/** Pairs of a rotation that turn faster than this a position tell neighbours apart. */
const fastTurn = 0.15;
/** Positions over which content is matched: pairs that turn less than one radian over them carry it. */
const reach = 400;
const fewestContentPairs = 8;

/** The coordinates of the residual stream, in this order: token, constant, previous token, the one before, copied token. */
export interface StreamLayout {
  readonly token: number;
  readonly constant: number;
  readonly previous: number;
  readonly beforePrevious: number;
  readonly copied: number;
  readonly previousSize: number;
  readonly copiedSize: number;
}

/** @throws RecipeError for a shape that has no place for copying heads */
export function layoutOf(config: DecoderConfig): StreamLayout {
  const refuse = (what: string, fix: string): never => {
    throw new RecipeError(`the model has no place for copying heads: ${what}`, { where: 'model', fix });
  };
  if (config.tiedEmbedding) refuse('its embedding is tied to its head', 'set model.tiedEmbedding to false');
  if (config.qkNorm) refuse('q and k are normalized', 'set model.qkNorm to false');
  if (config.layerCount < 2) refuse('it has one layer', 'raise model.layerCount to 2 or more');
  if (config.headCount < 2) refuse('it has one head', 'raise model.headCount to 2 or more');
  if (contentRows(config).length < 2 * fewestContentPairs) {
    refuse('few pairs of a head turn slowly', 'raise model.ropeTheta to 500000 or model.headDim');
  }
  const d = config.hiddenSize;
  const previousSize = Math.min(config.headDim, Math.floor(0.15 * d));
  const copiedSize = Math.min(config.headDim, Math.floor(0.2 * d));
  const token = d - 1 - 2 * previousSize - copiedSize;
  const previous = token + 1;
  const beforePrevious = previous + previousSize;
  const copied = beforePrevious + previousSize;
  return { token, constant: token, previous, beforePrevious, copied, previousSize, copiedSize };
}

/** Radians a position by which pair (f, f + headDim / 2) of a head turns. */
function turns({ headDim, ropeTheta }: DecoderConfig): number[] {
  return Array.from({ length: headDim / 2 }, (_, f) => ropeTheta ** ((-2 * f) / headDim));
}

/** Pairs (f, f + headDim / 2) that tell neighbours apart, with their turn. */
export function fastPairs(config: DecoderConfig): { f: number; turn: number }[] {
  return turns(config).flatMap((turn, f) => (turn > fastTurn ? [{ f, turn }] : []));
}

/** Rows of a head that stay put over `reach` positions. */
export function contentRows(config: DecoderConfig): number[] {
  const slow = turns(config).flatMap((turn, f) => (turn * reach < 1 ? [f] : []));
  return [...slow, ...slow.map((f) => f + config.headDim / 2)];
}

/** Root mean square of the residual stream with `notes` previous-token parts in it. */
export function streamSize(config: DecoderConfig, layout: StreamLayout, notes: number): number {
  return Math.sqrt((layout.token + constantValue ** 2 + notes * layout.previousSize) / config.hiddenSize);
}
