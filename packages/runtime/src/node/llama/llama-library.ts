import { RuntimeFailure } from '@edgedesk/tensor';
import type * as Package from 'node-llama-cpp';
import type { Llama } from 'node-llama-cpp';

const install = 'npm install node-llama-cpp@3 --ignore-scripts';

/** What llama.cpp itself said of the last failure: its errors come as log lines. */
let lastComplaint = '';
let loaded: Promise<Llama> | undefined;

/**
 * llama.cpp on this machine's processor, loaded once a process from the ready binary of the optional package
 * `node-llama-cpp`; nothing is compiled or downloaded. RuntimeFailure when it is not installed or has no binary here.
 */
export function llamaLibrary(): Promise<Llama> {
  loaded ??= loadLlama(() => import('node-llama-cpp')).catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

/** llama.cpp's own words on why the last call failed, or what the package said. */
export function llamaComplaint(error: unknown): string {
  const own = lastComplaint;
  lastComplaint = '';
  const said = own === '' ? (error instanceof Error ? error.message : String(error)) : own;
  return said.replace(/^[\w:]+: (?=\S)/, '').trim();
}

/** `llamaLibrary` from the package that `library` imports. */
export async function loadLlama(library: () => Promise<typeof Package>): Promise<Llama> {
  const { getLlama, LlamaLogLevel } = await library().catch((cause: unknown) => {
    throw new RuntimeFailure('the llama.cpp engine is not installed', {
      where: 'node-llama-cpp',
      fix: `\`${install}\`, or leave the engine at onnxruntime`,
      cause,
    });
  });
  try {
    return await getLlama({
      gpu: false,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      // Contexts say how many threads they want.
      maxThreads: 0,
      logLevel: LlamaLogLevel.error,
      logger: (_, message) => {
        lastComplaint = message;
      },
    });
  } catch (cause) {
    throw new RuntimeFailure(`llama.cpp cannot be loaded: ${llamaComplaint(cause)}`, {
      where: 'node-llama-cpp',
      fix: `install it again with its binary for this machine: \`${install}\``,
      cause,
    });
  }
}
