import { type ByteSource, CheckpointError } from '@edgedesk/tensor';
import type { Checkpoint } from '../checkpoint/load-checkpoint.js';
import { createTokenizer } from '../tokenizer/create-tokenizer.js';
import { decoderConfig } from './decoder-config.js';
import { ggufWeights } from './gguf-weights.js';
import { ggufMagic, readContainer } from './read-container.js';
import { readRopeDivisors } from './rope-metadata.js';
import { readTokenizer, tokenizerFiles } from './tokenizer-files.js';

/**
 * Opens a GGUF file as a checkpoint: decoder, weights dequantized as they are read, tokenizer and chat template rebuilt
 * from the metadata. Owns `source` from here on, also when it is refused with a CheckpointError.
 */
export async function openGguf(source: ByteSource): Promise<Checkpoint> {
  try {
    const container = await readContainer(source);
    const parts = readTokenizer(container.metadata);
    const config = decoderConfig(container, parts.ids, await readRopeDivisors(source, container));
    const { json, chatTemplate, namedTokens, ids } = parts;
    const tokenizer = createTokenizer({ json, chatTemplate, namedTokens, where: source.name });
    if (tokenizer.vocabSize > config.vocabSize) {
      throw new CheckpointError(
        `the tokenizer has ids up to ${tokenizer.vocabSize - 1} but the model has ${config.vocabSize} embeddings`,
        { where: source.name, fix: 'convert the model again' },
      );
    }
    return {
      config,
      tokenizer,
      tokenizerFiles: tokenizerFiles(parts, config.contextLength),
      weights: ggufWeights(source, container, config),
      generation: { bos_token_id: ids.bos, eos_token_id: [...ids.ends], pad_token_id: ids.pad },
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Whether the file begins as GGUF files do. */
export async function isGguf(source: ByteSource): Promise<boolean> {
  if (source.sizeBytes < 4) return false;
  const bytes = await source.read(0, 4);
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === ggufMagic;
}

/** Who says to have quantized the file; CheckpointError when it is malformed. */
export async function readGgufWriter(source: ByteSource): Promise<string | undefined> {
  const { metadata } = await readContainer(source);
  return metadata.text('general.quantized_by');
}
