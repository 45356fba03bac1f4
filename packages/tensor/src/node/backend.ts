import os from 'node:os';
import ort from 'onnxruntime-node';
import type { OrtBackend, Session, SessionOptions, Tensor } from '../backend.js';
import { RuntimeFailure } from '../errors.js';
import { Graph } from '../graph/graph.js';
import { neg } from '../graph/operators.js';
import { encodeModel, inPlaceMarker } from '../onnx/encode.js';
import { fromOrt, toOrt } from '../ort-tensor.js';

let inPlaceWorks: Promise<boolean> | undefined;

/** ONNX Runtime's native CPU provider. */
export function nodeBackend(): OrtBackend {
  const cores = os.availableParallelism();
  return {
    name: `onnxruntime-node ${ort.env.versions.node ?? ort.env.versions.common} cpu`,
    cores,
    createSession: (model, options = {}) => createSession(model, cores, options),
  };
}

async function createSession(model: Uint8Array, cores: number, options: SessionOptions): Promise<Session> {
  const session: Record<string, unknown> = {
    set_denormal_as_zero: '1',
    intra_op: { allow_spinning: options.spin === false ? '0' : '1' },
  };
  if (typeof options.externalData === 'string') {
    session['model_external_initializers_file_folder_path'] = options.externalData;
  } else if (options.externalData) {
    throw new RuntimeFailure('external data in memory is for the browser', {
      fix: 'pass the folder that holds it',
    });
  }
  const created = await wrapFailure(() =>
    ort.InferenceSession.create(model, {
      intraOpNumThreads: options.threads ?? cores,
      interOpNumThreads: 1,
      graphOptimizationLevel:
        options.optimization === 'none' ? 'disabled' : options.optimization === 'basic' ? 'basic' : 'all',
      // Patterned planning keeps every activation of a training step alive and makes the second step slow.
      enableMemPattern: false,
      enableCpuMemArena: options.arena ?? true,
      // What goes wrong is thrown, so ONNX Runtime need not print it as well.
      logSeverityLevel: 4,
      extra: { session },
      ...(options.profilePrefix ? { enableProfiling: true, profileFilePrefix: options.profilePrefix } : {}),
    }),
  );
  const marked = created.outputNames.includes(inPlaceMarker);
  const outputNames = created.outputNames.filter((name) => name !== inPlaceMarker);
  const inPlace = marked && (await (inPlaceWorks ??= probeInPlace()));
  return {
    inputNames: created.inputNames,
    outputNames,
    async run(feeds, outputs = outputNames) {
      const result = await wrapFailure(() => created.run(feedsOf(feeds), outputs.slice()));
      return Object.fromEntries(outputs.map((name) => [name, fromOrt(result[name]!)]));
    },
    async runInto(feeds, outputs) {
      const targets = Object.fromEntries(
        Object.entries(outputs).map(([name, t]) => [name, toOrt(ort.Tensor, t)]),
      );
      if (inPlace) await runInPlace(created, feedsOf(feeds), targets);
      else {
        const result = await wrapFailure(() => created.run(feedsOf(feeds), targets));
        for (const [name, target] of Object.entries(outputs)) copyInto(target, result[name]!.data);
      }
    },
    async release() {
      if (options.profilePrefix) created.endProfiling();
      await created.release();
    },
  };
}

const feedsOf = (feeds: Readonly<Record<string, Tensor>>): Record<string, ort.Tensor> =>
  Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, toOrt(ort.Tensor, t)]));

function copyInto(target: Tensor, data: ort.Tensor.DataType): void {
  if (data === target.data) return;
  (target.data as Float32Array).set(data as Float32Array);
}

/**
 * onnxruntime-node copies every output into a fresh buffer after the run, although ONNX Runtime has already written
 * into the caller's. Converting the marker, an output of sequence type that comes first, throws before anything is
 * copied. `probeInPlace` checks at first use that it still does; if not, outputs are copied.
 */
async function runInPlace(
  session: ort.InferenceSession,
  feeds: Record<string, ort.Tensor>,
  targets: Record<string, ort.Tensor>,
): Promise<boolean> {
  try {
    await session.run(feeds, { [inPlaceMarker]: null, ...targets });
    return false;
  } catch (error) {
    if (error instanceof Error && error.message.includes('Non tensor type')) return true;
    throw failure(error);
  }
}

async function probeInPlace(): Promise<boolean> {
  const g = new Graph();
  g.output(neg(g, g.input('x', 'f32', [3])), 'y');
  const session = await ort.InferenceSession.create(encodeModel(g, { inPlaceOutputs: true }), {
    logSeverityLevel: 3,
  });
  const memory = new Float32Array(8);
  const y = new ort.Tensor('float32', memory.subarray(2, 5), [3]);
  try {
    const threw = await runInPlace(
      session,
      { x: new ort.Tensor('float32', Float32Array.of(1, 2, 3), [3]) },
      { y },
    );
    return threw && memory.join() === '0,0,-1,-2,-3,0,0,0';
  } catch {
    return false;
  } finally {
    await session.release();
  }
}

/** ONNX Runtime begins with its source lines and signatures, up to pages of them, and ends with what is wrong. */
const maxReason = 280;

function failure(cause: unknown): RuntimeFailure {
  const whole = (cause instanceof Error ? cause.message : String(cause)).trim();
  const reason = whole.length > maxReason ? `... ${whole.slice(-maxReason)}` : whole;
  return new RuntimeFailure(`ONNX Runtime refused: ${reason}`, { cause });
}

async function wrapFailure<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw failure(error);
  }
}
