export { chatMl, chatMlSpecialTokens, chatMlTemplate, chatMlTokenizerFiles } from './chatml.js';
export { createTokenizer, type TokenizerParts } from './create-tokenizer.js';
export { loadTokenizer } from './load-tokenizer.js';
export type {
  ChatMessage,
  ChatTemplateOptions,
  EncodedChat,
  StreamDecoder,
  Tokenizer,
} from './tokenizer.js';
export { parseTokenizerJson, type TokenizerJson, tokenizerLimits } from './tokenizer-json.js';
export type { TextSource } from './train/count-pieces.js';
export { trainByteLevelBpe, type TrainBpeOptions, type TrainBpeProgress } from './train/train-bpe.js';
