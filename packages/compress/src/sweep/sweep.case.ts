import { nodeSha256 } from '@edgedesk/models/node';
import { nodeBackend } from '@edgedesk/tensor/node';
import type { Calibration } from '../calibration/calibration.js';
import type { SweepContext } from './sweep.js';
import { memoryWorkspace } from './workspace.js';
import type { Workspace } from './workspace.js';

/** Rows of 32 tokens in documents of eleven. */
export const calibrationText = (tokens: number, vocabSize: number): Calibration => ({
  seq: 32,
  ids: Int32Array.from({ length: tokens }, (_, i) => (i * 37 + ((i * i) % 11)) % vocabSize),
  segments: Int32Array.from({ length: tokens }, (_, i) => Math.floor(i / 11)),
});

/** A sweep over `calibration` on one thread. */
export const sweepContext = (
  calibration: Calibration,
  workspace: Workspace = memoryWorkspace(),
  more: Partial<SweepContext> = {},
): SweepContext => ({
  calibration,
  backend: nodeBackend(),
  threads: 1,
  workspace,
  sha256: nodeSha256,
  ...more,
});
