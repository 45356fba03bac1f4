import type { TokenModelOptions, Decoding, Scores } from '@edgedesk/runtime';
import type { DecoderConfig } from '@edgedesk/models';

/** What the worker is started with. */
export interface WorkerStart {
  /** The artefact's folder. */
  readonly folder: string;
  /** Path of the ONNX model in it. */
  readonly model: string;
  readonly config: DecoderConfig;
  readonly options: TokenModelOptions;
}

/** A call across the thread border; `sequence` numbers the open sequences. */
export type WorkerCall =
  | {
      readonly do: 'begin';
      readonly sequence: number;
      readonly tokens: readonly number[];
      readonly reserve: number;
    }
  | {
      readonly do: 'beginScoring';
      readonly sequence: number;
      readonly tokens: readonly number[];
      readonly limit: number;
    }
  | { readonly do: 'read'; readonly sequence: number; readonly ids: readonly number[] }
  | {
      readonly do: 'generate';
      readonly sequence: number;
      readonly ids: readonly number[];
      readonly decoding: Decoding;
    }
  | {
      readonly do: 'score';
      readonly sequence: number;
      readonly ids: readonly number[];
      readonly targets: readonly number[];
      readonly withRows: boolean;
    }
  | { readonly do: 'end'; readonly sequence: number }
  | { readonly do: 'release' };

export type WorkerRequest = WorkerCall & { readonly id: number };

/** An error's own fields, since a class does not survive the border. */
export interface WorkerError {
  readonly code: string | null;
  readonly message: string;
  readonly where: string | undefined;
  readonly fix: string | undefined;
}

export type WorkerAnswer =
  | { readonly id: number; readonly value: number | readonly number[] | Scores | null }
  | { readonly id: number; readonly error: WorkerError };

/** `id` of the answer that says whether the model could be loaded. */
export const loadedId = 0;
