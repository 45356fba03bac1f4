import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { openFile } from '@edgedesk/tensor/node';
import { describe, expect, it } from 'vitest';
import { openGguf } from './open-gguf.js';

const path = fileURLToPath(new URL('../../../../../shared/models/smollm2-135m-instruct.Q4_1.gguf', import.meta.url));

/** Ids by `Llama(path, vocab_only=True).tokenize` of llama-cpp-python 0.3.36, special tokens recognised. */
const tokenized: readonly (readonly [string, readonly number[]])[] = [
  [
    "Hello, world! I'll pay $12,345.67 on 2024-05-06.",
    [
      19556, 28, 905, 17, 339, 3060, 2290, 1885, 33, 34, 28, 35, 36, 37, 30, 38, 39, 335, 216, 34, 32, 34, 36, 29, 32,
      37, 29, 32, 38, 30,
    ],
  ],
  ['  leading spaces\n\n\tand tabs\r\n  end  ', [216, 2899, 5600, 1116, 197, 397, 29416, 23799, 1112, 256]],
  [
    '你好，我的订单 12345 在哪里？😀 é ñ',
    [
      18645, 250, 48392, 138, 12831, 19805, 235, 11567, 22081, 112, 27991, 239, 216, 33, 34, 35, 36, 37, 13223, 246, 118,
      176, 237, 120, 27219, 230, 8083, 249, 10813, 242, 218, 26411, 5549, 126,
    ],
  ],
  ['<|im_start|>user\nHi<|im_end|>\n', [1, 4093, 198, 26843, 2, 198]],
  [
    "DON'T can't WE'RE we're o’clock ___ --- `code` {x: 1};",
    [
      52, 2154, 23, 68, 416, 982, 26587, 23, 3256, 392, 2316, 263, 417, 17466, 36670, 21749, 2179, 4635, 80, 1662, 104,
      42, 216, 33, 48781,
    ],
  ],
  ['١٢٣ ½ ² ㎏ ﬁ', [164, 111, 164, 112, 164, 113, 216, 16738, 216, 19133, 216, 174, 232, 233, 40367]],
];

describe.skipIf(!existsSync(path))('SmolLM2 as GGUF (skipped: ../shared/models is not here)', () => {
  it('has the configuration, tokens and chat format of its Hugging Face checkpoint', async () => {
    const { config, tokenizer, weights } = await openGguf(await openFile(path));
    expect(config).toEqual({
      modelType: 'llama',
      vocabSize: 49152,
      hiddenSize: 576,
      intermediateSize: 1536,
      layerCount: 30,
      headCount: 9,
      kvHeadCount: 3,
      headDim: 64,
      contextLength: 8192,
      ropeTheta: 100000,
      normEpsilon: 1e-5,
      tiedEmbedding: true,
      qkvBias: false,
      qkNorm: false,
      bosTokenId: 1,
      eosTokenIds: [2, 0],
      padTokenId: 2,
    });
    for (const [text, ids] of tokenized) expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(ids);
    expect(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }], { addGenerationPrompt: true })).toBe(
      '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' +
        '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    );
    const norm = await weights.readF32('model.norm.weight');
    expect([norm.length, norm.every(Number.isFinite)]).toEqual([576, true]);
    await weights.close();
  });
});
