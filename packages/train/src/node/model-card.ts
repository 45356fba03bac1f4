import type { TrainingSummary } from './training-summary.js';

/** A model card with the run's numbers; prose about purpose and limits is added by people. */
export function modelCard(summary: TrainingSummary): string {
  const { config } = summary;
  const millions = (n: number) => `${(n / 1e6).toFixed(2)} M`;
  const held = summary.heldOut === null ? [] : Object.entries(summary.heldOut.sets);
  const rows = summary.files.map(
    ({ name, seen, size }) => `| ${name} | ${millions(seen)} | ${(seen / size).toFixed(2)} |`,
  );
  return [
    `# ${summary.name}`,
    '',
    `A ${config.modelType}-shaped language model of ${millions(summary.parameters)} parameters, trained by EdgeDesk on ${summary.engine}.`,
    '',
    '| | |',
    '|---|---|',
    `| layers x hidden size | ${config.layerCount} x ${config.hiddenSize} |`,
    `| heads (key/value) | ${config.headCount} (${config.kvHeadCount}) |`,
    `| vocabulary | ${config.vocabSize} |`,
    `| context, trained at | ${config.contextLength}, ${summary.recipe.sequence} |`,
    `| trainable parameters | ${millions(summary.trainable)} |`,
    `| steps, positions seen | ${summary.steps}, ${millions(summary.tokens)} (${millions(summary.lossTokens)} with loss) |`,
    `| time | ${summary.minutes.toFixed(1)} minutes at ${Math.round(summary.tokensPerSecond)} positions a second |`,
    `| training loss | ${summary.trainingLoss?.toFixed(3) ?? '-'} nats a token |`,
    '',
    ...(held.length === 0
      ? []
      : [
          '## Held-out loss (nats a token that carries loss)',
          '',
          '| file | loss |',
          '|---|--:|',
          ...held.map(([name, loss]) => `| ${name} | ${loss.toFixed(3)} |`),
          '',
        ]),
    '## Training data',
    '',
    '| file | positions seen | epochs |',
    '|---|--:|--:|',
    ...rows,
    '',
  ].join('\n');
}
