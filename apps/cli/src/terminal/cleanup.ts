const pending = new Set<() => void>();
const interruptions: ((code: number) => void)[] = [];

/** Runs `undo` (synchronously) when the program ends, however it ends short of SIGKILL. Returns what runs it now. */
export function atExit(undo: () => void): () => void {
  pending.add(undo);
  return () => {
    if (pending.delete(undo)) undo();
  };
}

export function runCleanups(): void {
  for (const undo of pending) {
    pending.delete(undo);
    undo();
  }
}

/**
 * While the returned function has not been called, an interrupt goes to `handler`, with the exit code that it would have
 * caused, instead of ending the program.
 */
export function onInterrupt(handler: (code: number) => void): () => void {
  interruptions.push(handler);
  return () => {
    const index = interruptions.lastIndexOf(handler);
    if (index >= 0) interruptions.splice(index, 1);
  };
}

/** Ctrl-C or SIGTERM: the innermost handler decides; without one, clean up and go. */
export function interrupt(code: number): void {
  const handler = interruptions.at(-1);
  if (handler !== undefined) {
    handler(code);
    return;
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  runCleanups();
  process.exit(code);
}
