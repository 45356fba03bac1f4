import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chatMlSpecialTokens, chatMlTokenizerFiles, trainByteLevelBpe } from '@edgedesk/models';
import type { DecoderConfig } from '@edgedesk/models';
import { saveCheckpoint } from '@edgedesk/models/node';
import { generatedWeights } from '../model.case.js';

/** Writes a checkpoint of generated weights to `base` and so many short conversations to `chats.jsonl` in `folder`. */
export async function writeTinyBase(folder: string, config: DecoderConfig, chats: number): Promise<void> {
  const tokenizer = await trainByteLevelBpe(
    ['Where is my order? 我的订单在哪里?', 'It is on its way. 在路上。'],
    { vocabSize: config.vocabSize, specialTokens: chatMlSpecialTokens },
  );
  await saveCheckpoint(join(folder, 'base'), {
    config,
    weights: generatedWeights(config),
    tokenizerFiles: chatMlTokenizerFiles(tokenizer, config.contextLength),
  });
  const rows = Array.from({ length: chats }, (_, i) => ({
    messages: [
      { role: 'user', content: `Where is order ${i * 7}?` },
      { role: 'assistant', content: `订单 ${i} 在路上。 It is on its way.` },
    ],
  }));
  await writeFile(join(folder, 'chats.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
}
