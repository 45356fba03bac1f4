import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { compareModels } from '../compare.js';
import { measureSpeed } from '../speed/measure-speed.js';
import { BigramEngine } from '../testing/bigram-engine.case.js';
import { sampleCorpus, sampleFiles } from '../testing/sample-rows.case.js';
import { htmlReport } from './html-report.js';

const browserPath = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  process.env['CHROMIUM'],
].find((path) => path !== undefined && existsSync(path));

describe.skipIf(browserPath === undefined)('the report in Chromium (skipped where none is installed)', () => {
  it.each([
    ['en', 'light', 900],
    ['zh', 'dark', 900],
    ['zh', 'light', 390],
  ] as const)(
    'draws in %s, %s, %i px wide, without errors, requests or overflow',
    async (lang, colorScheme, width) => {
      const corpus = sampleCorpus();
      const base = new BigramEngine(corpus);
      const models = [
        { name: 'INT8', open: () => Promise.resolve(new BigramEngine(corpus, { step: 0.5 })) },
        { name: 'INT4', open: () => Promise.resolve(new BigramEngine(corpus, { step: 2 })) },
      ];
      const reports = await compareModels({
        base,
        baseName: 'FP32',
        models,
        files: Object.values(sampleFiles),
      });
      const speed = await measureSpeed({ openEngine: () => Promise.resolve(base), promptTokens: 64 });
      const html = htmlReport(
        reports.map((report) => ({ ...report, speed: { ...speed, peakRssBytes: 1e8 } })),
        { lang },
      );

      const folder = await mkdtemp(join(tmpdir(), 'edgedesk-report-'));
      const browser = await chromium.launch({ executablePath: browserPath!, args: ['--no-sandbox'] });
      try {
        const path = join(folder, 'report.html');
        await writeFile(path, html);
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 800 } });
        const requests: string[] = [];
        const errors: string[] = [];
        page.on('request', (request) => requests.push(request.url()));
        page.on('console', (message) => {
          if (message.type() === 'error') errors.push(message.text());
        });
        await page.goto(pathToFileURL(path).href);
        expect(requests).toEqual([pathToFileURL(path).href]);
        expect(errors).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        const sizes = await page.$$eval('svg', (pictures) =>
          pictures.map((svg) => svg.getBoundingClientRect().height),
        );
        expect(sizes.length).toBeGreaterThan(6);
        expect(Math.min(...sizes)).toBeGreaterThan(10);
        await page.screenshot({
          path: process.env['REPORT_PICTURE'] ?? join(folder, 'report.png'),
          fullPage: true,
        });
      } finally {
        await browser.close();
        await rm(folder, { recursive: true });
      }
    },
  );
});
