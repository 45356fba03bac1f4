import type {
  DecoderWeights,
  Linear,
  NBitFormat,
  StoredLinear,
  TensorToWrite,
  WeightFolder,
} from '@edgedesk/models';
import {
  configJson,
  groupsPerRow,
  joinRows,
  linearRoles,
  readStored,
  sameFormat,
  storedShape,
  storedWeights,
  toDense,
  weightName,
  weightShapes,
  writeSafetensors,
} from '@edgedesk/models';
import { CheckpointError, RecipeError } from '@edgedesk/tensor';
import type { GptqLayer } from './gptq-pack.js';
import { packGptq } from './gptq-pack.js';

/** `quantization_config.meta.quantizer` of folders that we wrote; they may be replaced. */
export const gptqQuantizer = 'edgedesk';

export interface WriteGptqOptions {
  readonly name: string;
  readonly weights: DecoderWeights;
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  /** `generation_config.json` of the checkpoint. */
  readonly generation: Readonly<Record<string, unknown>>;
  readonly folder: WeightFolder;
  readonly signal?: AbortSignal;
  readonly onTensor?: (name: string, done: number, total: number) => void;
}

/**
 * Writes a checkpoint folder in the GPTQ format, as transformers, vLLM and TensorRT-LLM read it, one weight in memory at a
 * time. The layers' linear weights have the same levels, scales and zero points as in `weights`; embedding, head, norms
 * and biases are rounded to float16, in which these runtimes compute.
 *
 * CheckpointError when the layers are not quantized all alike, which the format has no place for; RecipeError when a
 * layer's sizes do not fill its 32-bit words.
 */
export async function writeGptq(options: WriteGptqOptions): Promise<void> {
  const { name, weights, folder, signal, onTensor } = options;
  const { config } = weights;
  const format = commonFormat(weights, name);
  const tensors: TensorToWrite[] = [];
  const add = (
    tensor: string,
    shape: readonly number[],
    dtype: 'i32' | 'f16',
    read: TensorToWrite['read'],
  ): void => {
    tensors.push({
      name: tensor,
      shape,
      dtype,
      read: () => {
        signal?.throwIfAborted();
        return read();
      },
    });
  };
  const inLayers = new Set(layerWeights(weights));
  const packed = lastPacked(name);
  const shapes = weightShapes(config);
  for (const stored of storedWeights(config)) {
    const shape = storedShape(stored, shapes);
    const linears = stored.parts.map((part) => weights.linears.get(part));
    const [linear] = linears;
    if (linear === undefined) {
      add(stored.name, shape, 'f16', () => readStored(stored, (part) => weights.readVector(part)));
    } else if (inLayers.has(stored.parts[0]!)) {
      addLayer(stored.name, stacked(linears as StoredLinear[], shape), format, packed, add);
    } else {
      add(stored.name, shape, 'f16', () => halves(linear, `${name}, ${stored.name}`));
    }
  }
  await writeSafetensors(tensors, folder, onTensor ? { onTensor } : {});
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const configuration = configJson(config, 'f16');
  const ids = Object.fromEntries(
    ['bos', 'eos', 'pad'].map((id) => [`${id}_token_id`, configuration[`${id}_token_id`]]),
  );
  await folder.writeFile(
    'config.json',
    json({ ...configuration, quantization_config: quantizationConfig(format) }),
  );
  await folder.writeFile('generation_config.json', json({ ...options.generation, ...ids }));
  for (const [file, text] of options.tokenizerFiles) await folder.writeFile(file, text);
}

/** The keys that GPTQ's readers share; `checkpoint_format` `gptq` means zero points less one. */
function quantizationConfig({ bits, groupSize, asymmetric }: NBitFormat): Record<string, unknown> {
  return {
    quant_method: 'gptq',
    checkpoint_format: 'gptq',
    bits,
    group_size: groupSize,
    desc_act: false,
    sym: !asymmetric,
    lm_head: false,
    true_sequential: true,
    damp_percent: 0.01,
    pack_dtype: 'int32',
    meta: { quantizer: [gptqQuantizer] },
  };
}

function layerWeights({ config }: DecoderWeights): string[] {
  return Array.from({ length: config.layerCount }, (_, layer) =>
    linearRoles.map((role) => weightName.linear(layer, role)),
  ).flat();
}

function commonFormat(weights: DecoderWeights, name: string): NBitFormat {
  const formats = layerWeights(weights).map((weight) => [weight, weights.linears.get(weight)!] as const);
  const { format } = formats[0]![1];
  if (format.kind === 'dense') {
    throw new CheckpointError('its layers are not quantized, and the GPTQ format holds nothing else', {
      where: name,
      fix: 'compress it first: `edgedesk compress MODEL --bits 4 --out FOLDER`',
    });
  }
  for (const [weight, linear] of formats) {
    if (!sameFormat(linear.format, format)) {
      throw new CheckpointError(`\`${weight}\` is stored in another way than the layers before it`, {
        where: name,
        fix: 'export as GGUF, which holds mixtures, or compress all layers alike',
      });
    }
    const perWord = 32 / format.bits;
    if (linear.shape.some((size) => size % perWord !== 0)) {
      throw new RecipeError(
        `the shape [${linear.shape.join(', ')}] of \`${weight}\` does not fill 32-bit words`,
        {
          where: name,
          fix: 'export as GGUF',
        },
      );
    }
  }
  return format;
}

/** Layers that the family keeps as one. */
function stacked(linears: readonly StoredLinear[], shape: readonly number[]): StoredLinear {
  const [first] = linears as readonly [StoredLinear, ...StoredLinear[]];
  if (linears.length === 1) return first;
  return {
    shape: [shape[0]!, shape[1]!],
    format: first.format,
    read: async () => {
      const parts: Linear[] = [];
      for (const linear of linears) parts.push(await linear.read());
      return joinRows(parts);
    },
  };
}

function addLayer(
  weight: string,
  stored: StoredLinear,
  { bits, groupSize }: NBitFormat,
  packed: (weight: string, stored: StoredLinear) => Promise<GptqLayer>,
  add: (tensor: string, shape: readonly number[], dtype: 'i32' | 'f16', read: TensorToWrite['read']) => void,
): void {
  const module = weight.replace(/\.weight$/, '');
  const [rows, columns] = stored.shape;
  const groups = groupsPerRow(columns, groupSize);
  const part = (key: keyof GptqLayer) => async () => (await packed(weight, stored))[key];
  add(`${module}.qweight`, [(columns * bits) / 32, rows], 'i32', part('qweight'));
  add(`${module}.qzeros`, [groups, (rows * bits) / 32], 'i32', part('qzeros'));
  add(`${module}.g_idx`, [columns], 'i32', () =>
    Promise.resolve(Int32Array.from({ length: columns }, (_, i) => Math.floor(i / groupSize))),
  );
  add(`${module}.scales`, [groups, rows], 'f16', part('scales'));
}

/** Packs a layer once for parts that are written one after another. */
function lastPacked(name: string): (weight: string, stored: StoredLinear) => Promise<GptqLayer> {
  let last: { readonly weight: string; readonly layer: Promise<GptqLayer> } | undefined;
  return (weight, stored) => {
    if (last?.weight !== weight) {
      const layer = stored.read().then((linear) => {
        if (linear.kind !== 'nbit') throw new Error(`${weight} changed its format`);
        return packGptq(linear, `${name}, ${weight}`);
      });
      last = { weight, layer };
    }
    return last.layer;
  };
}

/** The largest magnitude that rounds to a finite binary16. */
const maxHalf = 65520;

async function halves(stored: StoredLinear, where: string): Promise<Float32Array> {
  const values = toDense(await stored.read());
  if (!values.some((x) => Math.abs(x) >= maxHalf)) return values;
  throw new CheckpointError('the weights are too large for float16', { where, fix: 'export as GGUF' });
}
