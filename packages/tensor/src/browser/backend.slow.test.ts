import { existsSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { createServer } from 'vite';
import { describe, expect, test } from 'vitest';
import { backendExpectation } from '../backend.case.js';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => existsSync(file));
const root = path.resolve(import.meta.dirname, '../../../..');

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

const page = `<!doctype html><title>backend</title><script type="module">
import { browserBackend } from '/packages/tensor/src/browser/index.ts';
import { exerciseBackend } from '/packages/tensor/src/backend.case.ts';
const backend = browserBackend();
const inMemory = async (name, bytes) => new Map([[name, bytes]]);
let result;
try { result = await exerciseBackend(backend, inMemory); } catch (error) { result = String(error); }
globalThis.answer = { name: backend.name, isolated: crossOriginIsolated, result };
</script>`;

describe.skipIf(!executablePath)(
  `browserBackend in Chromium${executablePath ? '' : ' (skipped: no chromium here)'}`,
  () => {
    test('answers the backend contract under cross-origin isolation', async () => {
      const server = await createServer({
        root,
        configFile: false,
        logLevel: 'error',
        cacheDir: path.join(root, 'node_modules/.cache/vite-tensor'),
        resolve: { conditions: ['edgedesk-source', 'module', 'browser', 'import', 'default'] },
        optimizeDeps: { exclude: ['onnxruntime-web'], noDiscovery: true },
        server: {
          port: 0,
          host: '127.0.0.1',
          headers: isolation,
        },
        plugins: [
          {
            name: 'test-page',
            configureServer: (vite) => {
              vite.middlewares.use('/test-page', (_request, response) => {
                response.writeHead(200, { 'content-type': 'text/html', ...isolation });
                response.end(page);
              });
            },
          },
        ],
      });
      await server.listen();
      const browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
      try {
        const tab = await browser.newPage();
        await tab.goto(`${server.resolvedUrls!.local[0]!}test-page`);
        const answer = await tab.waitForFunction(() => (globalThis as { answer?: unknown }).answer);
        const { name, isolated, result } = (await answer.jsonValue()) as Record<string, unknown>;
        expect(name).toMatch(/^onnxruntime-web .* wasm$/);
        expect(isolated).toBe(true);
        expect(result).toEqual(backendExpectation);
      } finally {
        await browser.close();
        await server.close();
      }
    });
  },
);
