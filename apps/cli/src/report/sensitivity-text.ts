import type { FrontierPoint, Sensitivity } from '@edgedesk/compress';
import { textTable } from '@edgedesk/eval';
import type { Language } from '@edgedesk/models';
import { formatBytes } from '../terminal/format.js';
import { sensitivityGrid } from './sensitivity-grid.js';
import { sensitivityWords } from './sensitivity-words.js';

const thousandths = (kl: number): string => (kl * 1000).toFixed(2);

/** The measurements and what they mean for budgets, as tables for a terminal. */
export function sensitivityTables(
  sensitivity: Sensitivity,
  frontier: readonly FrontierPoint[],
  lang: Language,
): string {
  const words = sensitivityWords[lang];
  const { roles, blocks, outer, bits } = sensitivityGrid(sensitivity);
  const layers = textTable(
    [words.block, ...roles],
    blocks.map((own, layer) => [String(layer), ...own.map(thousandths)]),
  );
  const outside = outer.map(
    ({ name, kl, bits: at }) => `${words.outer[name]} (${words.at(at)}): ${thousandths(kl)}`,
  );
  const budgets = textTable(
    [words.size, words.bitsPerWeight, words.kl],
    frontier.map(({ sizeBytes, bitsPerWeight, kl }) => [
      formatBytes(sizeBytes),
      bitsPerWeight.toFixed(2),
      kl.toFixed(4),
    ]),
  );
  const { method, probeTokens } = sensitivity;
  return [
    words.measured(bits, method, probeTokens),
    '',
    layers,
    ...outside,
    '',
    `${words.budgets}. ${words.budgetsNote}`,
    '',
    budgets,
    '',
  ].join('\n');
}
