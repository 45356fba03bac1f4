/**
 * Bit packing as ONNX Runtime's MatMulNBits and GatherBlockQuantized read it: `8 / bits` values a byte, the first in
 * the lowest bits, every row starting on a byte.
 */

/**
 * `values` `[rows, columns]`, one a byte and each < 2^bits, to `[rows, ceil(paddedColumns * bits / 8)]` bytes. Columns
 * from `columns` to `paddedColumns` are zero.
 */
export function packRows(
  values: Uint8Array,
  rows: number,
  columns: number,
  bits: 2 | 4 | 8,
  paddedColumns = columns,
): Uint8Array<ArrayBuffer> {
  const perByte = 8 / bits;
  const stride = Math.ceil(paddedColumns / perByte);
  const packed = new Uint8Array(rows * stride);
  const whole = Math.floor(columns / perByte);
  for (let row = 0; row < rows; row++) {
    let from = row * columns;
    let to = row * stride;
    for (const end = to + whole; to < end; to++) {
      let byte = 0;
      for (let shift = 0; shift < 8; shift += bits) byte |= values[from++]! << shift;
      packed[to] = byte;
    }
    for (let shift = 0; from < (row + 1) * columns; shift += bits) packed[to]! |= values[from++]! << shift;
  }
  return packed;
}

/** The inverse of `packRows`. */
export function unpackRows(
  packed: Uint8Array,
  rows: number,
  columns: number,
  bits: 2 | 4 | 8,
  paddedColumns = columns,
): Uint8Array<ArrayBuffer> {
  const perByte = 8 / bits;
  const stride = Math.ceil(paddedColumns / perByte);
  const mask = 2 ** bits - 1;
  const values = new Uint8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const byte = packed[row * stride + Math.floor(column / perByte)]!;
      values[row * columns + column] = (byte >>> ((column % perByte) * bits)) & mask;
    }
  }
  return values;
}
