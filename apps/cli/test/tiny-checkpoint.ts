import type { DecoderConfig } from '@edgedesk/models';
import {
  chatMlSpecialTokens,
  chatMlTokenizerFiles,
  configJson,
  trainByteLevelBpe,
  weightShapes,
  writeSafetensors,
} from '@edgedesk/models';
import { elementCount } from '@edgedesk/tensor';
import { writeFolderAtomic } from '@edgedesk/tensor/node';
import { tinyConfig as smallest } from '../../../packages/models/src/decoder/decoder.case.js';

export const tinyConfig: DecoderConfig = {
  ...smallest,
  vocabSize: 384,
  hiddenSize: 64,
  intermediateSize: 96,
  contextLength: 256,
  eosTokenIds: [2, 0],
};

/** Writes a checkpoint with random weights and a tokenizer trained on a few lines, in the Hugging Face layout. */
export async function writeTinyCheckpoint(folder: string, config: DecoderConfig = tinyConfig): Promise<void> {
  const tokenizer = await trainByteLevelBpe(
    ['Where is my order? 我的订单在哪里？', 'Your order is on its way. 您的订单在路上。'],
    { vocabSize: config.vocabSize, specialTokens: chatMlSpecialTokens },
  );
  await writeFolderAtomic(folder, async (writer) => {
    let state = 1;
    const random = () => (state = (state * 48271) % 2147483647) / 2147483647 - 0.5;
    const tensors = [...weightShapes(config)].map(([name, shape]) => ({
      name,
      shape,
      dtype: 'f32' as const,
      read: () =>
        Promise.resolve(
          Float32Array.from({ length: elementCount(shape) }, () => (shape.length === 1 ? 1 : random() * 0.3)),
        ),
    }));
    await writeSafetensors(tensors, writer);
    await writer.writeFile('config.json', JSON.stringify(configJson(config)));
    for (const [file, text] of chatMlTokenizerFiles(tokenizer, config.contextLength)) {
      await writer.writeFile(file, text);
    }
  });
}
