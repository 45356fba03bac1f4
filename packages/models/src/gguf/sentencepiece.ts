import { CheckpointError } from '@edgedesk/tensor';
import { addedToken, type AddedTokenJson, type StageJson, type TokenizerJson } from '../tokenizer/tokenizer-json.js';
import { tokenizerLimits } from '../tokenizer/tokenizer-json.js';
import type { Metadata } from './metadata.js';
import { byteTokens, cutsInTwo, isNamedPhi, phiEatsSpaceBehind, spaceSign } from './sentencepiece-pieces.js';
import { specialIds } from './special-ids.js';
import { beginWith, type GgufTokenizer, named, padding, tokenType, type Vocabulary } from './tokenizer-parts.js';

/**
 * A SentencePiece BPE vocabulary (`llama`: Llama 2, Mistral, Phi-3, Gemma) as a `tokenizer.json` with byte fallback. Such
 * a vocabulary has scores and no merges: any two neighbours that make a token may merge, the best score first, which as a
 * list of merges is every way to cut every token in two, in the order of scores (transformers converts them so, too).
 * Control and byte tokens come from no merge, so that text does not turn into them.
 */
export function readSentencePiece(metadata: Metadata, { tokens, types, fail }: Vocabulary): GgufTokenizer {
  const scores = metadata.reals('tokenizer.ggml.scores') ?? fail('`tokenizer.ggml.scores` is missing');
  if (scores.length !== tokens.length) fail(`there are ${scores.length} scores for ${tokens.length} tokens`);
  const ids = specialIds(metadata, tokens, true);
  const rules = whiteSpaceRules(metadata);
  const roles = new Set([ids.bos, ids.pad, ids.unknown, ...ids.ends]);
  const vocab = new Map<string, number>();
  const added: AddedTokenJson[] = [];
  const scored: (readonly [token: string, score: number])[] = [];
  tokens.forEach((token, id) => {
    const type = types?.[id] ?? tokenType.normal;
    if (type === tokenType.unused && padding.test(token)) return;
    if (vocab.has(token)) fail(`the token ${JSON.stringify(token.slice(0, 60))} comes twice in the vocabulary`);
    vocab.set(token, id);
    const special = type === tokenType.control || type === tokenType.unknown || roles.has(id);
    if (special || type === tokenType.userDefined) {
      added.push({ ...addedToken(id, token, special), rstrip: rules.eatsSpaceBehind(token) });
    } else if (type === tokenType.normal) {
      scored.push([token, scores[id]!]);
    }
  });
  for (const byte of byteTokens) {
    if (!vocab.has(byte)) fail(`the vocabulary has no token ${byte} for bytes`, 'use the Hugging Face checkpoint');
  }
  for (const { content } of added) vocab.delete(content);
  const json: TokenizerJson = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: rules.normalizer,
    pre_tokenizer: null,
    post_processor: ids.addBos ? beginWith(tokens[ids.bos!]!, ids.bos!) : null,
    decoder: rules.decoder,
    model: {
      type: 'BPE',
      unk_token: null,
      fuse_unk: false,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: mergesByScore(scored, metadata.where),
    },
  };
  return { json, chatTemplate: metadata.text('tokenizer.chat_template') ?? null, namedTokens: named(tokens, ids), ids };
}

/** Every cut of every token into two tokens, best score first; of equal ones the longest left part first. */
function mergesByScore(scored: readonly (readonly [string, number])[], where: string): [string, string][] {
  const known = new Set(scored.map(([token]) => token));
  const merges: { readonly pair: [string, string]; readonly score: number }[] = [];
  for (const [token, score] of scored) {
    for (const pair of cutsInTwo(token)) {
      if (known.has(pair[0]) && known.has(pair[1])) merges.push({ pair, score });
    }
    if (merges.length > tokenizerLimits.maxMerges) {
      throw new CheckpointError(`the vocabulary gives more than ${tokenizerLimits.maxMerges} merges`, {
        where,
        fix: 'use the Hugging Face checkpoint',
      });
    }
  }
  const order = (a: (typeof merges)[number], b: (typeof merges)[number]): number =>
    b.score - a.score || b.pair[0].length - a.pair[0].length;
  return merges.sort(order).map(({ pair }) => pair);
}

interface WhiteSpaceRules {
  readonly normalizer: StageJson;
  readonly decoder: StageJson;
  readonly eatsSpaceBehind: (token: string) => boolean;
}

function whiteSpaceRules(metadata: Metadata): WhiteSpaceRules {
  const replace: StageJson = { type: 'Replace', pattern: { String: ' ' }, content: spaceSign };
  const back: StageJson = { type: 'Replace', pattern: { String: spaceSign }, content: ' ' };
  const parts: StageJson[] = [back, { type: 'ByteFallback' }, { type: 'Fuse' }];
  const prefixed = metadata.flag('tokenizer.ggml.add_space_prefix') ?? true;
  const isPhi = isNamedPhi(metadata.text('general.name') ?? '');
  return {
    normalizer: prefixed
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: spaceSign }, replace] }
      : replace,
    decoder: {
      type: 'Sequence',
      decoders: prefixed ? [...parts, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : parts,
    },
    eatsSpaceBehind: (token) => isPhi && phiEatsSpaceBehind(token),
  };
}
