import { adamwWasmBase64 } from './adamw-wasm.js';

/** The exports of `adamw.wat`. Addresses and sizes are bytes; sizes are multiples of 64. */
export interface AdamwKernels {
  adamw(
    theta: number,
    g: number,
    m: number,
    v: number,
    bytes: number,
    beta1: number,
    k1: number,
    beta2: number,
    k2: number,
    alpha: number,
    epsilon: number,
    decay: number,
  ): void;
  sumOfSquares(x: number, bytes: number): number;
  add(y: number, x: number, bytes: number): void;
  average(y: number, x: number, bytes: number, rate: number): void;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Bytes of padded standard base64; cores have neither `atob` nor `Buffer`. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < text.length - padding; i++) {
    bits = (bits << 6) | alphabet.indexOf(text[i]!);
    held += 6;
    if (held >= 8) {
      held -= 8;
      out[at++] = (bits >>> held) & 0xff;
    }
  }
  return out;
}

/** The kernels bound to `memory`. */
export function bindKernels(memory: WebAssembly.Memory): AdamwKernels {
  const module = new WebAssembly.Module(decodeBase64(adamwWasmBase64));
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  return instance.exports as unknown as AdamwKernels;
}
