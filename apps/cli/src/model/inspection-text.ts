import { textTable } from '@edgedesk/eval';
import { formatBytes, formatCount } from '../terminal/format.js';
import type { Inspection } from './inspect-model.js';
import { describeFormat } from './weight-groups.js';

/** An inspection for people. */
export function inspectionText(inspection: Inspection): string {
  const { config, quantization, verified } = inspection;
  const facts: [string, string][] = [
    ['kind', inspection.kind],
    ['parameters', formatCount(inspection.parameters)],
    ['size', `${formatBytes(inspection.sizeBytes)} (${inspection.bitsPerWeight.toFixed(2)} bits a weight)`],
    ['weights', quantization === undefined ? (inspection.dtype ?? '') : weightsLine(quantization)],
    [
      'decoder',
      `${config.modelType}, ${config.layerCount} layers of ${config.hiddenSize}, ${config.headCount} heads ` +
        `(${config.kvHeadCount} for keys and values) of ${config.headDim}, mlp ${config.intermediateSize}`,
    ],
    [
      'vocabulary',
      `${formatCount(config.vocabSize)}${config.tiedEmbedding ? ', head tied to the embedding' : ''}`,
    ],
    ['context', `${formatCount(config.contextLength)} tokens`],
    [
      'files',
      `${inspection.files.length}${verified === undefined ? '' : verified ? ', SHA-256 verified' : ', not verified'}`,
    ],
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = [inspection.name, ...facts.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`), ''];
  const rows = inspection.groups.map((group) => [
    group.group,
    String(group.tensors),
    formatCount(group.parameters),
    formatBytes(group.sizeBytes),
    group.bitsPerWeight.toFixed(2),
  ]);
  const other = inspection.sizeBytes - inspection.groups.reduce((sum, group) => sum + group.sizeBytes, 0);
  if (other > 0) rows.push(['graph and tables', '', '', formatBytes(other), '']);
  lines.push(textTable(['weights', 'tensors', 'parameters', 'size', 'bits a weight'], rows));
  if (inspection.provenance.length > 0) lines.push('', 'Made by');
  inspection.provenance.forEach(({ step, settings }, index) =>
    lines.push(`  ${index + 1}. ${step} ${JSON.stringify(settings)}`),
  );
  return `${lines.join('\n')}\n`;
}

function weightsLine(quantization: NonNullable<Inspection['quantization']>): string {
  const overrides = Object.keys(quantization.overrides).length;
  const others = overrides === 0 ? '' : `; ${overrides} in another format`;
  return `${describeFormat(quantization.default)}${others}`;
}
