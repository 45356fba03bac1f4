/** Bounds on what one request may ask for. The server faces untrusted clients as soon as `--host` is used. */
export const limits = {
  /** Bytes of a request body: many times the longest context of a model that fits an edge device. */
  bodyBytes: 1024 * 1024,
  /** Messages in one conversation; longer ones are cut by the client, not by us. */
  messages: 256,
  /** Characters of all messages: bounds the time that tokenizing holds the event loop. */
  promptCharacters: 200_000,
  /** As in OpenAI's API. */
  stopSequences: 4,
  /** A stop sequence is searched for in every chunk; a long one is a mistake. */
  stopCharacters: 256,
  /** New tokens when the request names no number: an answer to a customer is shorter. */
  defaultNewTokens: 512,
  /** Replies being generated at once: each holds its own keys and values in memory. */
  running: 4,
  /** Requests that wait for a turn; more get 429. */
  waiting: 16,
  /** From the arrival of a request to the last token of its reply. */
  requestMs: 120_000,
  /** A client that sends its headers or its body slower than this is cut off. */
  headersMs: 10_000,
  bodyMs: 30_000,
  /** Open sockets: keeps a flood from using up the process's file descriptors. */
  connections: 256,
  /** A stop waits this long for running replies. */
  stopMs: 10_000,
} as const;
