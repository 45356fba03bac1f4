import { EdgeDeskError, oneLine } from '@edgedesk/tensor';
import { CommanderError } from 'commander';

export const exitCode = { ok: 0, badInput: 1, usage: 2, interrupted: 130 } as const;

/** Thrown to end the program after Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

const systemFailures: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'this user may not read or write it',
  EPERM: 'this user may not do that',
  EISDIR: 'this is a folder, not a file',
  ENOTDIR: 'a part of the path is a file, not a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the disk is read-only',
  EMFILE: 'too many files are open',
  EEXIST: 'it exists already',
  ENOTEMPTY: 'the folder is not empty',
};

/** One sentence for the user about what went wrong, and the exit code that belongs to it. */
export function describeFailure(error: unknown): {
  readonly sentence: string | undefined;
  readonly code: number;
} {
  if (error instanceof CommanderError) {
    // Commander has printed its own sentence; help and version are no failures.
    return { sentence: undefined, code: error.exitCode === 0 ? exitCode.ok : exitCode.usage };
  }
  if (error instanceof Interrupted) return { sentence: undefined, code: exitCode.interrupted };
  if (EdgeDeskError.isInstance(error)) return { sentence: error.sentence, code: exitCode.badInput };
  const { code, path, message } = error as NodeJS.ErrnoException;
  const known = code === undefined ? undefined : systemFailures[code];
  if (known !== undefined) {
    return { sentence: `${path === undefined ? '' : `${path}: `}${known}.`, code: exitCode.badInput };
  }
  return {
    sentence: `EdgeDesk failed: ${oneLine(String(message ?? error))} (run again with --debug to see where).`,
    code: exitCode.badInput,
  };
}
