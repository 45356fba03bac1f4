import { type ByteSource, CheckpointError } from '@edgedesk/tensor';
import { ggufLimits } from './limits.js';

/** Read at a time: enough for most headers of small vocabularies, and little beside any model. */
const windowBytes = 2 ** 20;

/**
 * Reads the little-endian values of a header one after another. Bytes are fetched in windows: `need` waits for them, the
 * other methods then take them at once, so that a vocabulary of 150,000 texts costs a dozen waits.
 */
export class HeaderCursor {
  private window = new Uint8Array(0);
  private view = new DataView(this.window.buffer);
  private at = 0;
  private windowStart = 0;
  private readonly end: number;
  /** A byte order mark is part of a text. */
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(private readonly source: ByteSource) {
    this.end = Math.min(source.sizeBytes, ggufLimits.maxHeaderBytes);
  }

  /** Offset in the file of the next byte. */
  get position(): number {
    return this.windowStart + this.at;
  }

  /** CheckpointError unless `length` bytes may still follow. */
  expect(length: number): void {
    if (length <= this.end - this.position) return;
    if (length > this.source.sizeBytes - this.position) {
      this.fail(`the file ends at byte ${this.source.sizeBytes}, in the middle of its header`);
    }
    this.fail(`the header has more than the ${ggufLimits.maxHeaderBytes} bytes allowed`);
  }

  has(length: number): boolean {
    return this.at + length <= this.window.length;
  }

  /** Makes the next `length` bytes readable. */
  async need(length: number): Promise<void> {
    if (this.has(length)) return;
    this.expect(length);
    const from = this.position;
    this.window = await this.source.read(from, Math.min(Math.max(length, windowBytes), this.end - from));
    this.view = new DataView(this.window.buffer, this.window.byteOffset, this.window.length);
    this.windowStart = from;
    this.at = 0;
  }

  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  /** A 64-bit count or offset; above 2^53 it loses precision, and no limit lets it pass. */
  u64(): number {
    this.at += 8;
    return this.view.getUint32(this.at - 8, true) + this.view.getUint32(this.at - 4, true) * 2 ** 32;
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer> {
    this.at += length;
    return this.window.slice(this.at - length, this.at);
  }

  /** A text with its length before it. @param what names it in messages. */
  async text(maxBytes: number, what: string): Promise<string> {
    if (!this.has(8)) await this.need(8);
    const length = this.u64();
    if (length > maxBytes) this.fail(`${what} has ${length} bytes, more than the ${maxBytes} allowed`);
    if (!this.has(length)) await this.need(length);
    this.at += length;
    try {
      return this.utf8.decode(this.window.subarray(this.at - length, this.at));
    } catch {
      return this.fail(`${what} is not UTF-8 text`);
    }
  }

  fail(message: string): never {
    throw new CheckpointError(message, { where: this.source.name, fix: 'copy or download the file again' });
  }
}
