import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { FileStore } from '@edgedesk/tensor';
import { onnx } from '@edgedesk/tensor';
import { nodeBackend, openFolder } from '@edgedesk/tensor/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dice, mutations } from '../../../tensor/src/mutations.case.js';
import type { Mutation } from '../../../tensor/src/mutations.case.js';
import { survive } from '../../../tensor/src/node/hostile-input.case.js';
import { int4, writeArtefact } from '../artefact.case.js';
import { loadEngine } from '../load-engine.js';

/** The graph has 30 kB, the weights 100 kB; a session and its packed weights take a few times that. */
const limits = { arrayBufferBytes: 16 * 2 ** 20, residentBytes: 512 * 2 ** 20 };

let artefact: Awaited<ReturnType<typeof writeArtefact>>;
let valid: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  artefact = await writeArtefact({ config: { layerCount: 2 }, formatOf: () => int4 });
  valid = Uint8Array.from(await readFile(join(artefact.folder, 'onnx/model.onnx')));
});
afterAll(() => artefact.remove());

/** Loads the artefact with `model` as its graph, lets it answer, and closes it. */
async function run(model: Uint8Array<ArrayBuffer>): Promise<void> {
  const folder = openFolder(artefact.folder);
  const store: FileStore = {
    ...folder,
    readBytes: (path, maxBytes) =>
      path === 'onnx/model.onnx' ? Promise.resolve(model) : folder.readBytes(path, maxBytes),
  };
  const engine = await loadEngine({
    store,
    backend: nodeBackend(),
    externalData: join(artefact.folder, 'onnx'),
    threads: 1,
  });
  try {
    let tokens = 0;
    for await (const { tokenIds } of engine.generate([5, 90, 17], { maxNewTokens: 3, ignoreEnd: true })) {
      tokens += tokenIds.length;
    }
    expect(tokens).toBe(3);
  } finally {
    await engine.close();
  }
}

const hugeWords = [-1n, 0n, 2n, 255n, 2n ** 31n, 2n ** 33n, 2n ** 53n, 2n ** 62n, -(2n ** 63n)];

/** What a hostile writer does to a graph that still is one. */
function* edits(seed: number, count: number): Generator<Mutation> {
  const below = dice(seed);
  const any = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const kinds: Record<string, (graph: onnx.GraphProto) => void> = {
    'a node that reads what comes after it': ({ node }) => {
      const reader = any(node);
      reader.input[below(reader.input.length)] = any(node).output[0]!;
    },
    'a node that reads itself': ({ node }) => {
      const reader = any(node);
      reader.input[below(reader.input.length)] = reader.output[0]!;
    },
    'nodes in another order': ({ node }) => void node.push(...node.splice(below(node.length), 1 + below(5))),
    'a node left out': ({ node }) => void node.splice(below(node.length), 1),
    'a node 500 times': ({ node }) => void node.push(...new Array<onnx.NodeProto>(500).fill(any(node))),
    'another operator': ({ node }) => void (any(node).opType = any(node).opType),
    'an operator that makes large tensors': (graph) => {
      const [reader, name] = [any(graph.node), 'hostile.shape'];
      const dims = BigInt64Array.of(2n ** 40n, any(hugeWords));
      graph.initializer.push(
        create(onnx.TensorProtoSchema, {
          name,
          dataType: 7,
          dims: [2n],
          rawData: new Uint8Array(dims.buffer),
        }),
      );
      graph.node.unshift(
        create(onnx.NodeProtoSchema, { opType: 'ConstantOfShape', input: [name], output: ['hostile.large'] }),
      );
      reader.input[below(reader.input.length)] = 'hostile.large';
    },
    'inputs cut short': ({ node }) => void any(node).input.splice(below(3)),
    'another attribute': ({ node }) => {
      const list = any(node.filter((n) => n.attribute.length > 0)).attribute;
      const attribute = any(list);
      if (below(4) === 0) list.splice(list.indexOf(attribute), 1);
      else if (attribute.ints.length > 0) attribute.ints[below(attribute.ints.length)] = any(hugeWords);
      else attribute.i = any(hugeWords);
    },
    'other sizes of a weight': ({ initializer }) => {
      const { dims } = any(initializer);
      if (below(3) === 0) dims.push(any(hugeWords));
      else dims[below(Math.max(1, dims.length))] = any(hugeWords);
    },
    'another place of a weight': ({ initializer }) => {
      const { externalData } = any(initializer.filter((t) => t.externalData.length > 0));
      any(externalData.filter(({ key }) => key !== 'location')).value = String(any(hugeWords));
    },
    'another type of a weight': ({ initializer }) => void (any(initializer).dataType = below(25)),
    'numbers in a weight': ({ initializer }) => {
      const { rawData } = any(initializer.filter((t) => t.rawData.length > 0));
      for (let i = below(8); i >= 0; i--) rawData[below(rawData.length)] = below(256);
    },
    'a weight that computes the logits': (graph) => {
      graph.node = graph.node.filter((n) => !n.output.includes('logits'));
      any(graph.initializer).name = 'logits';
    },
  };
  const names = Object.keys(kinds);
  for (let i = 0; i < count; i++) {
    const name = names[i % names.length]!;
    const model = fromBinary(onnx.ModelProtoSchema, valid);
    kinds[name]!(model.graph!);
    yield { name: `${name}, file ${i} of seed ${seed}`, bytes: toBinary(onnx.ModelProtoSchema, model) };
  }
}

describe('1,000 mutated ONNX files', () => {
  it('each is loaded and run, or refused in one sentence: changed bytes', async () => {
    await expect(run(valid)).resolves.toBeUndefined();
    const files = mutations(valid, { seed: 7, count: 580, headerEnd: valid.length });
    const { accepted, refused } = await survive(files, run, limits);
    expect(refused).toBeGreaterThan(200);
    expect(accepted).toBeGreaterThan(10);
  });

  it('each is loaded and run, or refused in one sentence: changed graphs', async () => {
    const { refused } = await survive(edits(8, 420), run, limits);
    expect(refused).toBeGreaterThan(300);
  });
});
