/** SentencePiece's sign for a space. */
export const spaceSign = '\u2581';

/** What stands for the 256 bytes in a vocabulary. */
export const byteTokens: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
);

/** Every way to cut a token in two, the shortest left part first, never inside a character of two units. */
export function* cutsInTwo(token: string): Generator<[left: string, right: string]> {
  for (let at = 1; at < token.length; at++) {
    if ((token.charCodeAt(at) & 0xfc00) !== 0xdc00) yield [token.slice(0, at), token.slice(at)];
  }
}

/** Whether llama.cpp takes a model of this name for Phi-3: files do not say which tokens swallow the white space behind them. */
export const isNamedPhi = (name: string): boolean => /phi-?3/.test(name.toLowerCase());

/** Whether a special or user-defined token of Phi-3 swallows the white space behind it. */
export const phiEatsSpaceBehind = (token: string): boolean => !['<unk>', '<s>', '<|endoftext|>'].includes(token);
