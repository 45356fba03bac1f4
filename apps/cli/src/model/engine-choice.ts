import { Option } from 'commander';

export const engineNames = ['onnxruntime', 'llama.cpp'] as const;
/** What runs a model. llama.cpp is there when the optional package `node-llama-cpp` is installed. */
export type EngineName = (typeof engineNames)[number];

/** `--engine NAME`, the same for every command. */
export function engineOption(): Option {
  return new Option('--engine <name>', 'what runs it: llama.cpp needs the optional package node-llama-cpp')
    .choices(engineNames)
    .default('onnxruntime');
}
