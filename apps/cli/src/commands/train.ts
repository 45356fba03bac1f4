import { Command } from 'commander';
import type { OnTrainEvent, StepPoint } from '@edgedesk/train';
import type { StartQuantizer } from '@edgedesk/train/node';
import { interruptible } from '../terminal/abort.js';
import { Interrupted } from '../terminal/failure.js';
import { formatCount } from '../terminal/format.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';
import { Progress } from '../terminal/progress.js';

interface TrainOptions {
  readonly resume?: boolean;
  readonly allowChanges?: boolean;
  readonly out?: string;
  readonly json?: JsonTarget;
}

/** Height of the loss curve. */
const curveRows = 8;

export function trainCommand(): Command {
  return new Command('train')
    .description('Train a model by a recipe; Ctrl-C saves a checkpoint and stops')
    .argument('<recipe>', 'recipe file (YAML)')
    .option('--resume', 'go on from the last checkpoint')
    .option('--allow-changes', 'resume although the recipe or its data have changed')
    .option('--out <folder>', "folder of the run (default: runs/ and the recipe's name)")
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk train models/edgedesk-base.recipe.yaml
  edgedesk train models/edgedesk-base.recipe.yaml --resume
  edgedesk train shop.yaml --out runs/shop-2`,
    )
    .action(train);
}

async function train(recipePath: string, options: TrainOptions): Promise<void> {
  const [{ lossCurveText }, { runRecipe }, { nodeBackend }] = await Promise.all([
    import('@edgedesk/train'),
    import('@edgedesk/train/node'),
    import('@edgedesk/tensor/node'),
  ]);
  const quantizer: StartQuantizer = async (request) => {
    const { quantizeForTraining } = await import('@edgedesk/compress/node');
    return quantizeForTraining(request);
  };
  const progress = new Progress('Training');
  let result;
  try {
    result = await interruptible((signal) =>
      runRecipe({
        recipePath,
        backend: nodeBackend(),
        quantizer,
        resume: options.resume === true,
        allowChanges: options.allowChanges === true,
        ...(options.out === undefined ? {} : { outDir: options.out }),
        signal,
        onEvent: show(progress, (steps) => lossCurveText({ steps }, progress.columns, curveRows)),
      }),
    );
  } finally {
    progress.finish();
  }
  const { outcome, outDir, modelDir } = result;
  const stdoutTaken = await writeJson(options.json, { outcome, outDir, modelDir });
  if (outcome === 'stopped') {
    process.stderr.write(`Stopped with a checkpoint in ${outDir}; go on with --resume.\n`);
    throw new Interrupted();
  }
  if (!stdoutTaken)
    process.stdout.write(`The model is in ${modelDir}; loss curve and log are in ${outDir}.\n`);
}

/**
 * Each kind of event as progress: steps in the moving line and in the loss curve above it, the rest in lines of their
 * own. Outside a terminal the curve is printed at every evaluation.
 */
function show(progress: Progress, curve: (steps: readonly StepPoint[]) => string): OnTrainEvent {
  const steps: StepPoint[] = [];
  return (event) => {
    switch (event.type) {
      case 'prepare':
        progress.update(event.done, event.total ?? 0, event.what);
        break;
      case 'start': {
        const from = event.step === 0 ? '' : `, from step ${event.step}`;
        progress.note(
          `${event.name}: ${formatCount(event.trainable)} of ${formatCount(event.parameters)} weights${from}`,
        );
        break;
      }
      case 'step': {
        const { step, loss } = event.point;
        steps.push(event.point);
        progress.above(progress.live ? curve(steps) : '');
        const skipped = event.skipped ? ', skipped: the gradient is not finite' : '';
        const note = `step ${step}, loss ${loss.toFixed(3)}, ${Math.round(event.tokensPerSecond)} tokens/s${skipped}`;
        progress.update(event.progress, 1, note, event.etaMs / 1000);
        break;
      }
      case 'evaluation': {
        const sets = Object.entries(event.point.sets).map(([name, loss]) => `${name} ${loss.toFixed(3)}`);
        if (!progress.live && steps.length > 1) progress.note(curve(steps));
        progress.note(
          `step ${event.point.step}: held-out loss ${event.point.loss.toFixed(3)} (${sets.join(', ')})`,
        );
        break;
      }
      case 'checkpoint':
        progress.note(`step ${event.step}: checkpoint`);
        break;
      case 'stopped':
      case 'done':
        break;
    }
  };
}
