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

/** A length-delimited field of a message. */
function field(number: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const length: number[] = [];
  for (let rest = content.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  const head = [(number << 3) | 2, ...length];
  const bytes = new Uint8Array(head.length + content.length);
  bytes.set(head);
  bytes.set(content, head.length);
  return bytes;
}

describe('a plain decoder', () => {
  it('is accepted as it was exported', () => {
    expect(read(bytes).attention).toHaveLength(tinyConfig.layerCount);
  });

  it('must be ONNX', () => {
    expect(() => read(bytes.subarray(0, bytes.length / 2))).toThrow('not an ONNX model');
    expect(() => read(new Uint8Array(0))).toThrow('holds no graph');
  });

  it('must not be made of more parts than a decoder has', () => {
    // Two bytes each in the file: nodes without anything in them, and packed numbers.
    const graph = (content: Uint8Array): Uint8Array => field(7, content);
    const nodes = new Uint8Array(2 ** 21);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = 0x0a;
    expect(() => read(graph(nodes))).toThrow('more than 524288 parts');
    const numbers = field(8, new Uint8Array(2 ** 20));
    expect(() => read(graph(field(1, field(5, numbers))))).toThrow('more than 524288 parts');
    let nested = new Uint8Array(0);
    for (let i = 0; i < 40; i++) nested = field(1, field(5, field(6, nested)));
    expect(() => read(graph(nested))).toThrow('nested more than');
    expect(() => read(graph(Uint8Array.of(0x0a, 0x7f, 0x00)))).toThrow('ends behind');
  });

  it('must make each value once, before it is read', () => {
    expect(() => read(edited((g) => g.node.reverse()))).toThrow('which nothing before it makes');
    expect(() => read(edited((g) => g.node.push(g.node[0]!)))).toThrow('is made twice');
    const other = edited((g) => {
      for (const node of g.node) {
        const at = node.output.indexOf('logits');
        if (at >= 0) node.output[at] = 'other';
      }
    });
    expect(() => read(other)).toThrow('no node computes the output "logits"');
    const constant = edited((g) => {
      const head = g.node.find((n) => n.output.includes('logits'))!;
      head.input[0] = g.initializer[0]!.name;
    });
    expect(() => putLoopAround(read(constant), tinyConfig)).toThrow('do not depend on every attention node');
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
    expect(() => putLoopAround(read(windowed), tinyConfig)).toThrow('a window of 8 positions');
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
