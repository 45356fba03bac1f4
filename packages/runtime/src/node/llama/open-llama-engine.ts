import { basename } from 'node:path';
import { type Checkpoint, openGguf } from '@edgedesk/models';
import { type Engine, type EngineOptions, engineOf, type ModelInfo } from '@edgedesk/runtime';
import { CheckpointError, elementCount } from '@edgedesk/tensor';
import { openFile } from '@edgedesk/tensor/node';
import { llamaComplaint, llamaLibrary } from './llama-library.js';
import { LlamaTokenModel } from './llama-token-model.js';

/** As for the other engine: keys and values take half the bytes here. */
const defaultCacheBytes = 24e6;

/**
 * Opens a GGUF file with llama.cpp. Tokenizer, chat template, sampling and stop rules are ours, read from the file, so
 * prompts and replies are those of the other engine. Errors: CheckpointError for a file that cannot be used, RuntimeFailure
 * when the optional package `node-llama-cpp` is not there. Close the engine when done.
 */
export async function openLlamaEngine(path: string, options: EngineOptions = {}): Promise<Engine> {
  const llama = await llamaLibrary();
  const source = await openFile(path);
  const fileBytes = source.sizeBytes;
  const checkpoint = await openGguf(source);
  await checkpoint.weights.close();
  const { config, tokenizer } = checkpoint;
  const model = await llama
    .loadModel({ modelPath: path, gpuLayers: 0, defaultContextFlashAttention: false })
    .catch((cause: unknown) => {
      throw new CheckpointError(`llama.cpp cannot load it: ${llamaComplaint(cause)}`, {
        where: path,
        fix: 'use the engine onnxruntime, or convert the model again',
        cause,
      });
    });
  const { threads = llama.cpuMathCores, prefixCacheBytes = defaultCacheBytes } = options;
  return engineOf(
    infoOf(basename(path).replace(/\.gguf$/i, ''), checkpoint, fileBytes),
    tokenizer,
    new LlamaTokenModel({ config, model, threads, prefixCacheBytes }),
    options,
  );
}

function infoOf(name: string, { config, weights }: Checkpoint, sizeBytes: number): ModelInfo {
  const { vocabSize, contextLength, layerCount } = config;
  let parameters = 0;
  for (const { shape } of weights.tensors.values()) parameters += elementCount(shape);
  const bitsPerWeight = (8 * sizeBytes) / parameters;
  return { name, vocabSize, contextLength, layerCount, parameters, sizeBytes, bitsPerWeight };
}
