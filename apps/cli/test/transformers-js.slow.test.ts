import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { env, pipeline } from '@huggingface/transformers';
import { compress } from '@edgedesk/compress/node';
import { openEngine } from '@edgedesk/runtime/node';
import type { ChatMessage as Message } from '@edgedesk/runtime';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const executablePath = '/usr/bin/chromium';
const skipped = existsSync(executablePath) ? '' : ` (skipped: there is no ${executablePath})`;

/** In the manner that the model was trained in, so that the likeliest token leads by more than rounding can move. */
const conversations = ['en', 'zh'].map((lang) => {
  const [row] = readFileSync(
    join(repository, `packs/retail/${lang}/train/conversations.jsonl`),
    'utf8',
  ).split('\n');
  return (JSON.parse(row!) as { messages: Message[] }).messages.slice(0, 2);
});
const newTokens = 16;
const bitsOf = { fp32: 32, fp16: 16, int8: 8, int4: 4 } as const;
const artefacts = Object.keys(bitsOf) as (keyof typeof bitsOf)[];

let root: string;
/** What our engine answers, greedily, by artefact. */
const expected = new Map<string, string[]>();

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'edgedesk-transformers-'));
  const source = join(repository, 'models/edgedesk-base');
  for (const name of artefacts) {
    await compress({ source, bits: bitsOf[name], outDir: join(root, name) });
    expected.set(name, await ourAnswers(join(root, name)));
  }
}, 600_000);
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function ourAnswers(folder: string): Promise<string[]> {
  const engine = await openEngine(folder);
  try {
    const answers = [];
    for (const messages of conversations) {
      let text = '';
      for await (const chunk of engine.chat(messages, { maxNewTokens: newTokens })) {
        text += chunk.text;
      }
      answers.push(text);
    }
    return answers;
  } finally {
    await engine.close();
  }
}

it('answers are texts, so that comparing them says something', () => {
  for (const answers of expected.values()) {
    for (const answer of answers) expect(answer.length).toBeGreaterThan(5);
  }
});

describe('the text-generation pipeline of transformers.js, on the folder as it was written', () => {
  it.each(artefacts)('%s in Node: the same greedy text', async (name) => {
    env.allowRemoteModels = false;
    env.localModelPath = root;
    const generate = await pipeline('text-generation', name);
    try {
      const answers = [];
      for (const messages of conversations) {
        const [reply] = await generate(messages, {
          max_new_tokens: newTokens,
          do_sample: false,
        });
        answers.push((reply!.generated_text as { content: string }[]).at(-1)!.content);
      }
      expect(answers).toEqual(expected.get(name));
    } finally {
      await generate.dispose();
    }
  });

  it.skipIf(skipped !== '')(`in Chromium, on onnxruntime-web${skipped}`, async () => {
    expect(await answersInChromium('fp32', 'ort.webgpu.bundle.min.mjs')).toEqual(expected.get('fp32'));
    // The build with WebGPU has no GatherBlockQuantized for the processor, which looks quantized embeddings up.
    expect(await answersInChromium('int4', 'ort.wasm.bundle.min.mjs')).toEqual(expected.get('int4'));
  });
});

/** What transformers.js answers in a page, with the files of `build` as its onnxruntime-web; nothing comes from elsewhere. */
async function answersInChromium(name: string, build: string): Promise<unknown> {
  const server = await serve(pageFor(name, build));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const tab = await browser.newPage();
    const requested: string[] = [];
    tab.on('request', (request) => requested.push(request.url()));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await tab.goto(`${origin}/page`);
    const answers = await tab.waitForFunction(
      () => (globalThis as { answers?: unknown }).answers,
      undefined,
      {
        timeout: 150_000,
      },
    );
    expect(requested.filter((url) => !url.startsWith(origin) && !url.startsWith('blob:'))).toEqual([]);
    return await answers.jsonValue();
  } finally {
    await browser.close();
    server.close();
  }
}

const pageFor = (
  name: string,
  build: string,
): string => `<!doctype html><meta charset="utf-8"><title>transformers.js</title>
<script type="importmap">${JSON.stringify({
  imports: {
    '@huggingface/transformers': '/packages/@huggingface/transformers/dist/transformers.web.js',
    'onnxruntime-common': '/packages/onnxruntime-common/dist/esm/index.js',
    'onnxruntime-web/webgpu': `/packages/onnxruntime-web/dist/${build}`,
  },
})}</script>
<script type="module">
try {
  const { env, pipeline } = await import('@huggingface/transformers');
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = '/models/';
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = '/packages/onnxruntime-web/dist/';
  const generate = await pipeline('text-generation', '${name}', { device: 'wasm' });
  const answers = [];
  for (const messages of ${JSON.stringify(conversations)}) {
    const options = { max_new_tokens: ${newTokens}, do_sample: false };
    const [reply] = await generate(messages, options);
    answers.push(reply.generated_text.at(-1).content);
  }
  globalThis.answers = answers;
} catch (error) {
  globalThis.answers = String(error?.stack ?? error);
}
</script>`;

const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

/** The page, installed packages under `/packages/` and the artefacts under `/models/`. */
async function serve(page: string): Promise<Server> {
  const folders: readonly (readonly [string, string])[] = [
    ['/packages/', join(repository, 'node_modules')],
    ['/models/', root],
  ];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, 'http://localhost').pathname));
    if (path === '/page') {
      response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      return;
    }
    const found = folders.find(([prefix]) => path.startsWith(prefix));
    const file = found && join(found[1], path.slice(found[0].length));
    if (file === undefined || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = types[extname(file)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-length': statSync(file).size });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}
