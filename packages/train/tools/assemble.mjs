// Assembles src/optimizer/adamw.wat into src/optimizer/adamw-wasm.ts: node packages/train/tools/assemble.mjs
import { readFileSync, writeFileSync } from 'node:fs';
import wabt from 'wabt';

const source = new URL('../src/optimizer/adamw.wat', import.meta.url);
const module = (await wabt()).parseWat('adamw.wat', readFileSync(source, 'utf8'), { simd: true });
const base64 = Buffer.from(module.toBinary({}).buffer).toString('base64');
const lines = base64.match(/.{1,100}/g).map((line) => `  '${line}',`);
writeFileSync(
  new URL('../src/optimizer/adamw-wasm.ts', import.meta.url),
  `/** \`adamw.wat\` assembled by \`tools/assemble.mjs\`; a test keeps the two in step. */\nexport const adamwWasmBase64 = [\n${lines.join('\n')}\n].join('');\n`,
);
