import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { onnx } from '@edgedesk/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyConfig, writeArtefact } from '../artefact.case.js';
import { putLoopAround } from './loop.js';
import { readPlainDecoder } from './plain-decoder.js';

let artefact: Awaited<ReturnType<typeof writeArtefact>>;
let bytes: Uint8Array;

beforeAll(async () => {
  artefact = await writeArtefact();
  bytes = await readFile(join(artefact.folder, 'onnx/model.onnx'));
});
afterAll(() => artefact.remove());

const edited = (edit: (graph: onnx.GraphProto) => void): Uint8Array => {
  const model = fromBinary(onnx.ModelProtoSchema, bytes);
  edit(model.graph!);
  return toBinary(onnx.ModelProtoSchema, model);
};
const read = (model: Uint8Array, config = {}) =>
  readPlainDecoder(model, { ...tinyConfig, ...config }, 'here/model.onnx');

describe('a plain decoder', () => {
  it('is accepted as it was exported', () => {
    expect(read(bytes).attention).toHaveLength(tinyConfig.layerCount);
  });

  it('must be ONNX', () => {
    expect(() => read(bytes.subarray(0, bytes.length / 2))).toThrow('not an ONNX model');
    expect(() => read(new Uint8Array(0))).toThrow('holds no graph');
  });

  it('must have the layers, heads and vocabulary of its config', () => {
    expect(() => read(bytes, { layerCount: 4 })).toThrow('no input "past_key_values.3.key"');
    expect(() => read(bytes, { layerCount: 2 })).toThrow('"past_key_values.2.key" is no input or output');
    expect(() => read(bytes, { headDim: 32 })).toThrow(
      'has size 16 along axis 3 but config.json asks for 32',
    );
    expect(() => read(bytes, { kvHeadCount: 4 })).toThrow('has size 2 along axis 1');
    expect(() => read(bytes, { vocabSize: 321 })).toThrow('a vocabulary of 321');
    expect(() => putLoopAround(read(bytes, { headCount: 8 }), { ...tinyConfig, headCount: 8 })).toThrow(
      '4/2 heads',
    );
  });

  it.each(['input_ids', 'past_key_values.1.value'])('must have the input %s', (name) => {
    const model = edited((g) => {
      g.input = g.input.filter((v) => v.name !== name);
    });
    expect(() => read(model)).toThrow(`the graph has no input "${name}"`);
  });

  it.each(['logits', 'present.0.key'])('must have the output %s', (name) => {
    const model = edited((g) => {
      g.output = g.output.filter((v) => v.name !== name);
    });
    expect(() => read(model)).toThrow(`the graph has no output "${name}"`);
  });

  it('must attend in a way the loop can take over', () => {
    const attention = (g: onnx.GraphProto) => g.node.filter((n) => n.opType === 'GroupQueryAttention');
    expect(() => read(edited((g) => (attention(g)[0]!.opType = 'Attention')))).toThrow(
      'has 2 GroupQueryAttention nodes but config.json asks for 3',
    );
    expect(() => read(edited((g) => (attention(g)[0]!.input[3] = 'logits')))).toThrow(
      'no GroupQueryAttention node reads "past_key_values.0.key"',
    );
    const windowed = edited((g) => {
      attention(g)[1]!.attribute.push(
        create(onnx.AttributeProtoSchema, { name: 'local_window_size', type: 2, i: 8n }),
      );
    });
    expect(() => putLoopAround(read(windowed), tinyConfig)).toThrow('a sliding window');
  });

  it.each(['../secret', '/etc/passwd', 'a/b', '..', '', '.hidden', 'a\\b'])(
    'may not read its weights from "%s"',
    (path) => {
      const model = edited((g) => {
        const tensor = g.initializer.find((t) => t.externalData.length > 0)!;
        tensor.externalData.find((e) => e.key === 'location')!.value = path;
      });
      expect(() => read(model)).toThrow('no file beside the model');
    },
  );
});
