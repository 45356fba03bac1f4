import type { Engine } from '@edgedesk/runtime';
import { evaluateBeside } from './evaluate.js';
import type { EvaluateOptions } from './evaluate.js';
import type { BaseMemory } from './evaluate-file.js';
import type { EvalReport } from './report/schema.js';

/** A model to compare, opened when its turn comes and closed after it, so that one at a time is in memory. */
export interface ComparedModel {
  readonly name: string;
  open(): Promise<Engine>;
}

export interface CompareOptions extends Omit<EvaluateOptions, 'engine' | 'base' | 'name' | 'baseMemory'> {
  /** The full-precision model the others are set against; stays the caller's to close. */
  readonly base: Engine;
  readonly baseName: string;
  /** One or more. */
  readonly models: readonly ComparedModel[];
}

/** Evaluates several models against one base on the same rows: the base's report first, then theirs in order. */
export async function compareModels(options: CompareOptions): Promise<EvalReport[]> {
  const { base, baseName, models, ...shared } = options;
  const baseMemory: BaseMemory = new Map();
  const reports: EvalReport[] = [];
  for (const { name, open } of models) {
    const engine = await open();
    try {
      const both = await evaluateBeside({ ...shared, engine, base, name, baseMemory });
      const baseFacts = { ...both.report.base!, name: baseName };
      if (reports.length === 0) reports.push({ ...both.baseReport!, name: baseName, base: baseFacts });
      reports.push({ ...both.report, base: baseFacts });
    } finally {
      await engine.close();
    }
  }
  return reports;
}
