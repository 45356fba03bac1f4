/**
 * The byte-level alphabet of GPT-2: every byte is written as one visible character, so that a vocabulary of strings
 * can hold any bytes. Visible Latin-1 bytes stand for themselves, the other 68 for U+0100 and on.
 */
function alphabet(): readonly string[] {
  const chars: string[] = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const visible =
      (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    chars.push(String.fromCharCode(visible ? byte : next++));
  }
  return chars;
}

/** Character of each byte. */
export const byteToChar: readonly string[] = alphabet();

const charToByte = new Int16Array(512).fill(-1);
byteToChar.forEach((char, byte) => (charToByte[char.charCodeAt(0)] = byte));

const utf8 = new TextEncoder();

/** UTF-8 bytes of `text` in the byte-level alphabet; a lone surrogate becomes U+FFFD. */
export function toByteLevel(text: string): string {
  let out = '';
  for (const byte of utf8.encode(text)) out += byteToChar[byte]!;
  return out;
}

/** Bytes of a byte-level token, or null when a character is outside the alphabet. */
export function fromByteLevel(token: string): Uint8Array<ArrayBuffer> | null {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const code = token.charCodeAt(i);
    const byte = code < charToByte.length ? charToByte[code]! : -1;
    if (byte < 0) return null;
    bytes[i] = byte;
  }
  return bytes;
}
