import * as ort from 'onnxruntime-web';
import type { OrtBackend, Session, SessionOptions, Tensor } from '../backend.js';
import { RuntimeFailure } from '../errors.js';
import { inPlaceMarker } from '../onnx/encode.js';
import { fromOrt, toOrt } from '../ort-tensor.js';

export interface BrowserBackendOptions {
  /** @default 'wasm' */
  readonly provider?: 'wasm' | 'webgpu';
  /** Folder URL of ONNX Runtime's .wasm and .mjs files. @default beside the bundle */
  readonly wasmPaths?: string;
  /** More than one needs a cross-origin isolated page. @default what the page allows */
  readonly threads?: number;
}

/** ONNX Runtime in a page or worker. Call once: its threads are fixed when the first session is made. */
export function browserBackend(options: BrowserBackendOptions = {}): OrtBackend {
  const cores = globalThis.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
  ort.env.wasm.numThreads = options.threads ?? cores;
  if (options.wasmPaths) ort.env.wasm.wasmPaths = options.wasmPaths;
  const provider = options.provider ?? 'wasm';
  return {
    name: `onnxruntime-web ${ort.env.versions.web ?? ort.env.versions.common} ${provider}`,
    cores,
    createSession: (model, session = {}) => createSession(model, provider, session),
  };
}

async function createSession(model: Uint8Array, provider: string, options: SessionOptions): Promise<Session> {
  if (typeof options.externalData === 'string') {
    throw new RuntimeFailure('a page cannot open a folder', { fix: 'pass the external data files by name' });
  }
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [provider],
    graphOptimizationLevel:
      options.optimization === 'none' ? 'disabled' : options.optimization === 'basic' ? 'basic' : 'all',
    enableMemPattern: false,
    ...(options.externalData
      ? { externalData: [...options.externalData].map(([path, data]) => ({ path, data })) }
      : {}),
  });
  const outputNames = session.outputNames.filter((name) => name !== inPlaceMarker);
  const run = async (feeds: Readonly<Record<string, Tensor>>, outputs: readonly string[]) => {
    const wrapped = Object.fromEntries(
      Object.entries(feeds).map(([name, t]) => [name, toOrt(ort.Tensor, t) as ort.Tensor]),
    );
    const result = await session.run(wrapped, outputs.slice());
    return Object.fromEntries(outputs.map((name) => [name, fromOrt(result[name]!)]));
  };
  return {
    inputNames: session.inputNames,
    outputNames,
    run: (feeds, outputs = outputNames) => run(feeds, outputs),
    async runInto(feeds, outputs) {
      const result = await run(feeds, Object.keys(outputs));
      for (const [name, target] of Object.entries(outputs)) {
        (target.data as Float32Array).set(result[name]!.data as Float32Array);
      }
    },
    release: () => session.release(),
  };
}
