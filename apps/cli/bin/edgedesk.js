#!/usr/bin/env node
import { existsSync } from 'node:fs';

const program = new URL('../dist/index.js', import.meta.url);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`EdgeDesk needs Node 20.19 or newer, and this is ${process.versions.node}.`);
  process.exitCode = 1;
} else if (!existsSync(program)) {
  console.error('EdgeDesk is not built yet; run `npm run build` in its folder.');
  process.exitCode = 1;
} else {
  const { main } = await import(program.href);
  process.exitCode = await main(process.argv.slice(2));
}
