import { readFile, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadCheckpoint } from '@edgedesk/models';
import { openCheckpoint, openFolder } from '@edgedesk/models/node';
import { EdgeDeskError } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { runAndKill } from '../../../tensor/src/node/killed-runs.case.js';
import type { MeteredProgram } from '../../../tensor/src/node/killed-runs.case.js';
import type { TrainEvent } from '../trainer/events.js';
import { runRecipe } from './run-recipe.js';
import { tinyRecipe } from './tiny-recipe.case.js';
import type { TrainingSummary } from './training-summary.js';

const backend = nodeBackend();

async function summaryOf(outDir: string): Promise<TrainingSummary> {
  return JSON.parse(await readFile(join(outDir, 'training-summary.json'), 'utf8')) as TrainingSummary;
}

describe('runRecipe', () => {
  it('trains from scratch, goes on from the result, and adapts it', async () => {
    const recipePath = await tinyRecipe();
    const outDir = join(dirname(recipePath), 'run');
    const events: TrainEvent[] = [];
    const { modelDir, outcome } = await runRecipe({
      recipePath,
      outDir,
      backend,
      onEvent: (event) => events.push(event),
    });
    expect(outcome).toBe('done');
    const evaluations = events.flatMap((event) => (event.type === 'evaluation' ? [event.point.loss] : []));
    expect(evaluations).toHaveLength(4);
    expect(evaluations.at(-1)!).toBeLessThan(0.6 * evaluations[0]!);
    const phases = events.flatMap((event) => (event.type === 'step' ? [event.phase] : []));
    expect(phases.indexOf('dialogue')).toBe(16);

    const { config, weights, tokenizer } = await loadCheckpoint(openFolder(modelDir!));
    expect(config).toMatchObject({ hiddenSize: 32, headDim: 8, eosTokenIds: [2, 0], tiedEmbedding: true });
    expect(weights.tensors.get('model.norm.weight')).toMatchObject({ dtype: 'f16', shape: [32] });
    expect(tokenizer.decode(tokenizer.encode('您的退款 is here'))).toBe('您的退款 is here');
    await weights.close();
    expect(await readFile(join(modelDir!, 'README.md'), 'utf8')).toMatch(/\| chat\.jsonl \| 0\.\d\d M \|/);
    expect(await readFile(join(outDir, 'curve.html'), 'utf8')).toMatch(/<svg/);
    const log = (await readFile(join(outDir, 'training-log.jsonl'), 'utf8')).trim().split('\n');
    expect(log).toHaveLength(44);

    const first = (await summaryOf(outDir)).heldOut!.loss;
    const onward = { model: '', tokenizer: '', base: modelDir!, budget: '{ steps: 10 }' };
    for (const [name, lora, lr] of [
      ['continued', '', '1.0e-3'],
      ['adapted', '{ rank: 4, alpha: 8, roles: [q, v, up, down] }', '1.0e-2'],
    ] as const) {
      const recipe = await tinyRecipe({ ...onward, name, lora, optimizer: `{ lr: ${lr} }` });
      const run = join(dirname(recipe), 'run');
      const result = await runRecipe({ recipePath: recipe, outDir: run, backend });
      const summary = await summaryOf(run);
      expect(summary.heldOut!.loss).toBeLessThan(first);

      // The saved model, merged where there was an adapter, is the one that was evaluated; f16 rounds it.
      const check = await tinyRecipe({
        ...onward,
        base: result.modelDir!,
        budget: '{ steps: 1 }',
        optimizer: '{ lr: 1.0e-12 }',
      });
      const checked = join(dirname(check), 'run');
      await runRecipe({ recipePath: check, outDir: checked, backend });
      expect((await summaryOf(checked)).heldOut!.loss).toBeCloseTo(summary.heldOut!.loss, 2);
      if (lora !== '') {
        expect((await readdir(join(run, 'adapter'))).sort()).toEqual([
          'README.md',
          'adapter_config.json',
          'adapter_model.safetensors',
        ]);
        expect(summary.trainable).toBeLessThan(summary.parameters / 3);
      }
    }
  });

  it('refuses to mix runs, in one sentence', async () => {
    const recipePath = await tinyRecipe({ budget: '{ steps: 6 }' });
    const outDir = join(dirname(recipePath), 'run');
    const run = (more: object = {}) => runRecipe({ recipePath, outDir, backend, ...more });
    await run();
    await expect(run()).rejects.toThrow('the folder already holds a run');
    await writeFile(recipePath, (await readFile(recipePath, 'utf8')).replace('lr: 1.0e-2', 'lr: 2.0e-2'));
    const refused = await run({ resume: true }).catch((error: unknown) => error);
    expect(EdgeDeskError.isInstance(refused) && refused.sentence).toMatch(
      /step-000000006\.ckpt: the recipe or its data changed since the checkpoint was made; /,
    );
    await expect(run({ resume: true, allowChanges: true })).resolves.toMatchObject({ outcome: 'done' });
  });

  it('goes on from a GGUF file with its own tokenizer', async () => {
    const base = fileURLToPath(new URL('../../../models/src/gguf/fixtures/llama.gguf', import.meta.url));
    const data = '[{ name: language, sources: [{ files: [text.jsonl], weight: 1 }] }]';
    const changes = { model: '', tokenizer: '', base, data, budget: '{ steps: 2 }', evaluation: '' };
    const recipePath = await tinyRecipe({ ...changes, sequence: '64' });
    const { modelDir } = await runRecipe({ recipePath, outDir: join(dirname(recipePath), 'run'), backend });
    const [trained, source] = [await openCheckpoint(modelDir!), await openCheckpoint(base)];
    expect(trained.config).toEqual(source.config);
    const text = 'Where is my refund? 退款';
    expect(trained.tokenizer.encode(text)).toEqual(source.tokenizer.encode(text));
    const name = 'model.layers.1.mlp.up_proj.weight';
    expect(await trained.weights.readF32(name)).not.toEqual(await source.weights.readF32(name));
    await trained.weights.close();
    await source.weights.close();
  });

  it('trains Phi-3 with adapters, and refuses adapters that have no name in its checkpoints', async () => {
    const base = fileURLToPath(new URL('../../../models/src/gguf/fixtures/phi3.gguf', import.meta.url));
    const data = '[{ name: language, sources: [{ files: [text.jsonl], weight: 1 }] }]';
    const lora = '{ rank: 2, alpha: 4, roles: [q, v] }';
    const changes = { model: '', tokenizer: '', base, data, lora, budget: '{ steps: 2 }', evaluation: '' };
    const run = async (more: Record<string, string>) => {
      const recipePath = await tinyRecipe({ ...changes, sequence: '64', ...more });
      return runRecipe({ recipePath, outDir: join(dirname(recipePath), 'run'), backend });
    };
    await expect(run({ output: '{ merge: false }' })).rejects.toThrow(/Phi-3 joins its q, k and v/);
    const { modelDir, outDir } = await run({});
    expect(await readdir(outDir)).not.toContain('adapter');
    const { config, weights } = await openCheckpoint(modelDir!);
    expect(config).toMatchObject({ modelType: 'phi3', rotaryDim: 6 });
    await weights.close();
  });

  it('reports missing and malformed data with file and line', async () => {
    const recipePath = await tinyRecipe();
    const outDir = join(dirname(recipePath), 'run');
    await writeFile(join(dirname(recipePath), 'chat.jsonl'), '{"messages": [}\n');
    await expect(runRecipe({ recipePath, outDir, backend })).rejects.toMatchObject({
      where: expect.stringMatching(/chat\.jsonl:1$/) as string,
    });
    expect(await readdir(dirname(recipePath))).not.toContain('run');
    await expect(runRecipe({ recipePath: `${recipePath}.no`, outDir, backend })).rejects.toThrow(
      'the recipe cannot be read',
    );
  });
});

describe('kill -9', () => {
  it('at ten random moments changes nothing in the end', { timeout: 900_000 }, async () => {
    const recipePath = await tinyRecipe({ budget: '{ steps: 60 }', checkpoint: '{ every: { steps: 3 } }' });
    const [straight, broken] = ['straight', 'broken'].map((name) => join(dirname(recipePath), name));
    const { ends, places } = await runAndKill(
      training(recipePath, straight!),
      training(recipePath, broken!),
      10,
    );
    expect(ends, `killed at ${places.join(', ')}`).toEqual(new Array(10).fill('SIGKILL'));

    const [expected, found] = await Promise.all([straight!, broken!].map(filesOf));
    expect([...found!.keys()]).toEqual([...expected!.keys()]);
    expect([...found!].filter(([name, bytes]) => !bytes.equals(expected!.get(name)!))).toEqual([]);
    expect(await lossesOf(broken!)).toEqual(await lossesOf(straight!));
  });
});

/** The files of the finished model; the card says how long the training took. */
async function filesOf(run: string): Promise<Map<string, Buffer>> {
  const folder = join(run, 'model');
  const names = (await readdir(folder)).filter((name) => name !== 'README.md').sort();
  return new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
}

async function lossesOf(outDir: string): Promise<number[]> {
  const lines = (await readFile(join(outDir, 'training-log.jsonl'), 'utf8')).trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
}

/** The built package in a process of its own, at its steps. */
function training(recipePath: string, outDir: string): MeteredProgram {
  const script = `
    import { runRecipe } from '@edgedesk/train/node';
    import { nodeBackend } from '@edgedesk/tensor/node';
    await runRecipe({
      recipePath: ${JSON.stringify(recipePath)}, outDir: ${JSON.stringify(outDir)}, backend: nodeBackend(), resume: true,
      onEvent: (event) => process.stdout.write(\`\${event.type === 'step' ? event.point.step : 0}\\n\`),
    });`;
  return { script, cwd: fileURLToPath(new URL('../..', import.meta.url)) };
}
