import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Version of PyTorch that `python` imports, or null. */
export function torchVersion(python) {
  const { status, stdout } = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim() : null;
}

/** A twin process that waits between measurements. */
export class Twin {
  #child;
  #lines;

  constructor(python) {
    this.#child = spawn(python, [fileURLToPath(new URL('twin.py', import.meta.url))], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Sends one message and waits for the answer to it. */
  async ask(message) {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the PyTorch twin ended early; its own message stands above');
    return JSON.parse(value);
  }

  close() {
    this.#child.stdin.end();
  }
}
