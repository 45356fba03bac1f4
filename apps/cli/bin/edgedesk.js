#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';

const program = new URL('../dist/index.js', import.meta.url);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`EdgeDesk needs Node 20.19 or newer, and this is ${process.versions.node}.`);
  process.exitCode = 1;
} else if (!existsSync(program)) {
  console.error('EdgeDesk is not built yet; run `npm run build` in its folder.');
  process.exitCode = 1;
} else {
  // Talking makes little garbage: a nursery that stays small saves some 25 MB of resident memory and costs no speed.
  // Its largest size is fixed when Node starts; whether it grows can be said until the first modules are loaded.
  if (['serve', 'chat', 'bench'].includes(process.argv[2]))
    setFlagsFromString('--semi-space-growth-factor=1');
  const { main } = await import(program.href);
  process.exitCode = await main(process.argv.slice(2));
}
