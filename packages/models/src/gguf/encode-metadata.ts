/** A value to be written; the tag is its type in the file. */
export type MetadataEntry =
  | readonly [key: string, type: 'u32' | 'f32', value: number]
  | readonly [key: string, type: 'bool', value: boolean]
  | readonly [key: string, type: 'text', value: string]
  | readonly [key: string, type: 'texts', value: readonly string[]]
  | readonly [key: string, type: 'i32s', value: Int32Array]
  | readonly [key: string, type: 'f32s', value: Float32Array];

/** A tensor to be announced; `shape` is row-major, `offset` counts from the first tensor. */
export interface AnnouncedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly typeId: number;
  readonly offset: number;
}

/** Where tensors begin; readers assume it when the file does not say. */
export const ggufAlignment = 32;

const typeIds = { u32: 4, i32: 5, f32: 6, bool: 7, text: 8, array: 9 } as const;
const utf8 = new TextEncoder();

/** The header of a GGUF file of version 3, little endian, padded to where the tensors begin. */
export function encodeHeader(
  metadata: readonly MetadataEntry[],
  tensors: readonly AnnouncedTensor[],
): Uint8Array<ArrayBuffer> {
  const header = new ByteList();
  header.push(utf8.encode('GGUF'));
  header.u32(3);
  header.u64(tensors.length);
  header.u64(metadata.length);
  for (const entry of metadata) encodeEntry(header, entry);
  for (const { name, shape, typeId, offset } of tensors) {
    header.text(name);
    header.u32(shape.length);
    for (const dimension of [...shape].reverse()) header.u64(dimension);
    header.u32(typeId);
    header.u64(offset);
  }
  return header.joined(ggufAlignment);
}

function encodeEntry(header: ByteList, [key, type, value]: MetadataEntry): void {
  header.text(key);
  switch (type) {
    case 'u32':
      header.u32(typeIds.u32);
      return header.u32(value);
    case 'f32':
      header.u32(typeIds.f32);
      return header.push(new Uint8Array(Float32Array.of(value).buffer));
    case 'bool':
      header.u32(typeIds.bool);
      return header.push(Uint8Array.of(value ? 1 : 0));
    case 'text':
      header.u32(typeIds.text);
      return header.text(value);
    case 'texts':
      header.u32(typeIds.array);
      header.u32(typeIds.text);
      header.u64(value.length);
      for (const text of value) header.text(text);
      return;
    case 'i32s':
    case 'f32s':
      header.u32(typeIds.array);
      header.u32(type === 'i32s' ? typeIds.i32 : typeIds.f32);
      header.u64(value.length);
      return header.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  }
}

/** Bytes that are put together at the end. */
class ByteList {
  private bytes = new Uint8Array(2 ** 16);
  private length = 0;

  push(bytes: Uint8Array): void {
    const end = this.length + bytes.byteLength;
    if (end > this.bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.bytes.length));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    this.bytes.set(bytes, this.length);
    this.length = end;
  }

  u32(value: number): void {
    this.push(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.push(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  text(text: string): void {
    const bytes = utf8.encode(text);
    this.u64(bytes.byteLength);
    this.push(bytes);
  }

  joined(alignment: number): Uint8Array<ArrayBuffer> {
    this.push(new Uint8Array(-this.length & (alignment - 1)));
    return this.bytes.slice(0, this.length);
  }
}
