import type { HubTiming } from './limits.js';

/** The part of an HTTP answer that we use; the web's `Response` is one. */
export interface HubResponse {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: { getReader(): HubBodyReader } | null;
}

/** The part of the web's stream reader that we use. */
export interface HubBodyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** The web's `fetch` where it shows redirects to the caller, as Node's does and a browser's does not. */
export type HubFetch = (
  url: string,
  init: {
    readonly method: 'GET' | 'HEAD';
    readonly headers: Readonly<Record<string, string>>;
    readonly redirect: 'manual';
    readonly signal: AbortSignal;
  },
) => Promise<HubResponse>;

/** How to talk to one hub. */
export interface HubClient {
  readonly fetch: HubFetch;
  /** `https://huggingface.co` or a mirror of it, without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint's own origin only. */
  readonly token?: string;
  readonly timing: HubTiming;
  readonly signal?: AbortSignal;
}
