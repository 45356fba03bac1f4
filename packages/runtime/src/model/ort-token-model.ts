import type { DecoderConfig } from '@edgedesk/models';
import { CheckpointError, EdgeDeskError, type FileStore, type OrtBackend } from '@edgedesk/tensor';
import { externalSizes, putLoopAround, readPlainDecoder } from '../graph/index.js';
import { KvRows } from '../kv/kv-rows.js';
import { PrefixCache } from '../kv/prefix-cache.js';
import { LoopedModel } from './looped-model.js';
import type { Decoding, Sequence, TokenModel } from './token-model.js';

/** Settings of the part that computes. */
export interface TokenModelOptions {
  /** Threads inside one operator. @default the backend's cores */
  readonly threads?: number | undefined;
  /** Memory for keys and values of running and finished sequences; running ones may exceed it. @default 24 MB */
  readonly prefixCacheBytes?: number | undefined;
  /** Write an ONNX Runtime profile with this file prefix (Node only). */
  readonly profilePrefix?: string | undefined;
}

export interface TokenModelSource {
  readonly store: FileStore;
  readonly backend: OrtBackend;
  /** Path of the ONNX model in `store`. */
  readonly model: string;
  readonly config: DecoderConfig;
  /** Where the session finds the model's data files: their folder (Node) or the files by name (browser). */
  readonly externalData: string | ReadonlyMap<string, Uint8Array>;
}

/** The graph alone, weights outside: 50 MB would be a decoder of tens of thousands of nodes. */
const maxModelBytes = 50 * 2 ** 20;

/** Loads the decoder into one session of this thread, the loop put around it. CheckpointError when it does not fit. */
export async function loadTokenModel(
  source: TokenModelSource,
  options: TokenModelOptions = {},
): Promise<TokenModel> {
  const { store, backend, model, config, externalData } = source;
  const { threads, prefixCacheBytes = 24e6, profilePrefix } = options;
  const where = `${store.name}/${model}`;
  const plain = readPlainDecoder(await store.readBytes(model, maxModelBytes), config, where);
  await checkDataFiles(store, model, externalSizes(plain));
  const session = await backend
    .createSession(putLoopAround(plain, config), {
      externalData,
      arena: false,
      ...(threads === undefined ? {} : { threads }),
      ...(profilePrefix === undefined ? {} : { profilePrefix }),
    })
    .catch((cause: unknown) => {
      const reason = EdgeDeskError.isInstance(cause) ? cause.message : String(cause);
      throw new CheckpointError(`the model cannot be loaded: ${reason}`, {
        where,
        fix: 'write the artefact again with `edgedesk compress`',
        cause,
      });
    });
  return new OrtTokenModel(new LoopedModel(config, session), new PrefixCache(config, prefixCacheBytes));
}

/** Data that end early are found here: ONNX Runtime would map the file and speak of its own source lines. */
async function checkDataFiles(
  store: FileStore,
  model: string,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  const folder = model.slice(0, model.lastIndexOf('/') + 1);
  for (const [file, needed] of sizes) {
    const source = await store.open(`${folder}${file}`);
    await source.close();
    if (source.sizeBytes >= needed) continue;
    throw new CheckpointError(
      `the file has ${source.sizeBytes} bytes but the model's weights take ${needed}`,
      {
        where: `${store.name}/${folder}${file}`,
        fix: 'copy or download the artefact again',
      },
    );
  }
}

class OrtTokenModel implements TokenModel {
  /** The last scored sequence, unless it is being scored. */
  private scored: KvRows | null = null;

  constructor(
    private readonly model: LoopedModel,
    private readonly cache: PrefixCache,
  ) {}

  get config(): DecoderConfig {
    return this.model.config;
  }

  begin(tokens: readonly number[], reserve: number): Promise<Sequence> {
    const rows = this.cache.take(tokens, tokens.length - 1, reserve);
    return Promise.resolve(this.sequence(rows, () => this.cache.put(rows)));
  }

  beginScoring(tokens: readonly number[], limit: number): Promise<Sequence> {
    const rows = this.scored ?? new KvRows(this.config);
    this.scored = null;
    rows.truncate(Math.min(rows.commonPrefix(tokens), limit));
    rows.reserve(tokens.length);
    return Promise.resolve(
      this.sequence(rows, () => {
        this.scored = rows;
      }),
    );
  }

  release(): Promise<void> {
    this.cache.clear();
    this.scored = null;
    return this.model.release();
  }

  private sequence(rows: KvRows, handBack: () => void): Sequence {
    return {
      cachedTokens: rows.length,
      read: (ids) => this.read(rows, ids),
      generate: (ids, decoding) => this.generate(rows, ids, decoding),
      score: (ids, targets, withRows) => this.model.score(rows, ids, targets, withRows),
      end: () => {
        handBack();
        return Promise.resolve();
      },
    };
  }

  private async read(rows: KvRows, ids: readonly number[]): Promise<void> {
    for (let rest = ids; rest.length > 0;) {
      const piece = rest.slice(0, roomAt(rows.length));
      await this.model.read(rows, borderAt(rows.length), piece);
      rest = rest.slice(piece.length);
    }
  }

  private async generate(rows: KvRows, ids: readonly number[], decoding: Decoding): Promise<number[]> {
    const inLastStretch = ids.length - roomAt(rows.length);
    const early = inLastStretch <= 0 ? 0 : ids.length - (((inLastStretch - 1) % stretchRows) + 1);
    await this.read(rows, ids.slice(0, early));
    const rest = ids.slice(early);
    // A call over a piece of the prompt is of one iteration.
    const room = rest.length > 1 ? 1 : roomAt(rows.length);
    return this.model.generate(rows, borderAt(rows.length), rest, within(room, decoding));
  }
}

/**
 * Rows lie in stretches of this many from the first token on. A call stays within one: longer ones lose less time at
 * their ends, shorter ones copy fewer rows a token.
 */
const stretchRows = 64;

/** How many more rows fit into the stretch that begins or goes on at `length`. */
const roomAt = (length: number): number => stretchRows - (length % stretchRows);

/**
 * Where the past ends and the stretch begins. It depends on the position alone, not on how the rows before came about,
 * so that neither do a row's numbers: read in pieces, generated, verified or found in the cache, they are the same to
 * the last bit; see `putLoopAround`.
 */
const borderAt = (length: number): number => length - (length % stretchRows);

function within(room: number, decoding: Decoding): Decoding {
  const { uniforms, draft } = decoding;
  return { ...decoding, uniforms: uniforms.subarray(0, room), draft: draft.slice(0, room - 1) };
}
