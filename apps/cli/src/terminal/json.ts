import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, basename } from 'node:path';

/** `--json` alone means stdout and nothing else on it; `--json FILE` means a file beside the usual text. */
export type JsonTarget = string | true | undefined;

export const jsonOption = [
  '--json [file]',
  'print JSON only, or write it to a file beside the usual output',
] as const;

/** Writes a report where the user asked for it. Returns true when stdout is taken. */
export function writeJson(target: JsonTarget, report: object): boolean {
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (target === undefined) return false;
  if (target === true || target === '-') {
    process.stdout.write(text);
    return true;
  }
  writeAtomically(target, text);
  return false;
}

/** The file is there in full or not at all. */
export function writeAtomically(file: string, text: string): void {
  const temporary = join(dirname(file), `.${basename(file)}.${randomBytes(4).toString('hex')}`);
  try {
    writeFileSync(temporary, text);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    // The reader knows the file by the name that they gave.
    throw Object.assign(error as NodeJS.ErrnoException, { path: file });
  }
}
