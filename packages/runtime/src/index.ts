export * from './engine.js';
export { assembleEngine, engineOf, type EngineOptions, loadEngine, type LoadOptions } from './load-engine.js';
export { loadTokenModel, type TokenModelOptions, type TokenModelSource } from './model/ort-token-model.js';
export type { Decoding, Scores, Sequence, TokenModel } from './model/token-model.js';
export { type Candidates, pickToken } from './sampling/pick-token.js';
