import { InvalidArgumentError } from 'commander';

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
};

/** Parses an option's value as a number of bytes: `60MB` (as disks are sold), `57.2MiB`, `60000000`. */
export function byteSize(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([a-z]*)$/.exec(text.trim().toLowerCase());
  const unit = parts === null ? undefined : units[parts[2]!];
  const bytes = unit === undefined ? NaN : Math.floor(Number(parts![1]) * unit);
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('Give a size such as 60MB, 57.2MiB or 60000000.');
}
