import type { OrtBackend, Session } from '@edgedesk/tensor';
import { encodeModel, Graph, microsoftDomain, tensor } from '@edgedesk/tensor';
import { nodeBackend } from '@edgedesk/tensor/node';
import { afterEach, describe, expect, it } from 'vitest';
import { linearCases, randomNumbers } from './linear.case.js';
import type { NBitLinear } from './linear.js';
import { formatOf, groupsPerRow } from './linear.js';
import { serialize, storedParts } from './stored.js';
import { toDense } from './to-dense.js';

// The stored bytes mean to ONNX Runtime's kernels what `toDense` says.

const backend: OrtBackend = nodeBackend();
const cases = linearCases.filter((c): c is { name: string; linear: NBitLinear } => c.linear.kind === 'nbit');

/** y = x W^T and the table's rows, from the same stored bytes. */
function kernels(linear: NBitLinear, accuracyLevel: 1 | 4): Promise<Session> {
  const g = new Graph();
  const [rows, columns] = linear.shape;
  const { bits, groupSize } = linear;
  const width = groupsPerRow(columns, groupSize) * groupSize;
  const bytes = new Map(serialize(linear).map((p) => [p.part, p.bytes]));
  const parts = new Map(
    storedParts(formatOf(linear), linear.shape).map((p) => [
      p.part,
      g.initializer(p.part, p.dtype, p.shape, { bytes: bytes.get(p.part)! }),
    ]),
  );
  const flat = g.initializer('rows', 'u8', [rows, (width * bits) / 8], { bytes: bytes.get('levels')! });
  const scales = g.node('Cast', [parts.get('scales')!], { dtype: 'f32', shape: parts.get('scales')!.shape }, {
    attributes: { to: 1 },
  });
  const zeroPoints = parts.has('zeroPoints') ? [parts.get('zeroPoints')!] : [];
  const x = g.input('x', 'f32', ['m', columns]);
  const ids = g.input('ids', 'i64', ['n']);
  const common = { bits, block_size: groupSize };
  const y = g.node('MatMulNBits', [x, parts.get('levels')!, scales, ...zeroPoints], { dtype: 'f32', shape: ['m', rows] }, {
    domain: microsoftDomain,
    attributes: { ...common, K: columns, N: rows, accuracy_level: accuracyLevel },
  });
  const table = g.node('GatherBlockQuantized', [flat, ids, scales, ...zeroPoints], { dtype: 'f32', shape: ['n', width] }, {
    domain: microsoftDomain,
    attributes: { ...common, gather_axis: 0, quantize_axis: 1 },
  });
  g.output(y, 'y');
  g.output(table, 'table');
  return backend.createSession(encodeModel(g), { threads: 1, spin: false });
}

describe.each(cases)('$name', ({ linear }) => {
  const [rows, columns] = linear.shape;
  const random = randomNumbers(11);
  const x = Float32Array.from({ length: 3 * columns }, () => 2 * random() - 1);
  const dense = toDense(linear);
  const feeds = {
    x: tensor.f32(x, [3, columns]),
    ids: tensor.i64([rows - 1, 0, 2], [3]),
  };
  let session: Session | undefined;
  afterEach(() => session?.release());

  it.each([
    // f32 activations: only the order of summation differs.
    { level: 1, activationError: 1e-5 },
    // int8 activations with a scale a group: off by at most half a step of max |x| / 127, and |x| < 1 here.
    { level: 4, activationError: 0.5 / 127 },
  ] as const)('MatMulNBits at accuracy level $level', async ({ level, activationError }) => {
    session = await kernels(linear, level);
    const y = (await session.run(feeds)).y!.data as Float32Array;
    for (let i = 0; i < 3; i++) {
      for (let n = 0; n < rows; n++) {
        let expected = 0;
        let magnitude = 0;
        for (let k = 0; k < columns; k++) {
          const w = dense[n * columns + k]!;
          expected += x[i * columns + k]! * w;
          magnitude += Math.abs(w);
        }
        expect(Math.abs(y[i * rows + n]! - expected)).toBeLessThan(1.001 * activationError * magnitude + 1e-6);
      }
    }
  });

  it('GatherBlockQuantized', async () => {
    session = await kernels(linear, 4);
    const table = (await session.run(feeds)).table!;
    const width = table.shape[1]!;
    [rows - 1, 0, 2].forEach((row, i) => {
      const got = Array.from((table.data as Float32Array).subarray(i * width, i * width + columns));
      expect(got).toEqual(Array.from(dense.subarray(row * columns, (row + 1) * columns)));
    });
  });
});
