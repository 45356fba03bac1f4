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

let told = false;

/**
 * Ctrl-C or SIGTERM: the innermost handler decides; without one, clean up and go. Whoever asks again while a handler is
 * still at work gets the signal's own effect, which works whatever the native threads are doing.
 */
export function interrupt(signal: 'SIGINT' | 'SIGTERM', code: number): void {
  const handler = interruptions.at(-1);
  if (handler !== undefined) {
    told = true;
    handler(code);
    return;
  }
  if (process.stderr.isTTY) process.stderr.write('\n');
  runCleanups();
  if (!told) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
