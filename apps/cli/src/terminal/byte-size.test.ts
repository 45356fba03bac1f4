import { expect, it } from 'vitest';
import { byteSize } from './byte-size.js';

it.each([
  ['60MB', 60e6],
  ['1.5 gb', 1.5e9],
  ['57.2MiB', Math.floor(57.2 * 2 ** 20)],
  ['60000000', 60e6],
  ['12kB', 12_000],
])('reads %s', (text, bytes) => expect(byteSize(text)).toBe(bytes));

it.each(['', '0', 'MB', '-3MB', '3 parsecs', '0.2b', '1e9', '99999999TB', '3,5MB'])(
  'refuses "%s"',
  (text) => {
    expect(() => byteSize(text)).toThrow(/such as 60MB/);
  },
);
