import { existsSync, mkdirSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { BigramEngine } from './bigram-engine.case.js';
import { startServer } from './start-server.js';
import type { RunningServer, ServerOptions } from './start-server.js';

const executablePath = '/usr/bin/chromium';
/** `EDGEDESK_SCREENSHOTS=DIR` keeps pictures of the page for a person to look at. */
const pictures = process.env.EDGEDESK_SCREENSHOTS;
const skipped = existsSync(executablePath) ? '' : ` (skipped: there is no ${executablePath})`;

/** A busy machine takes its time; nothing here is about speed. */
const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 30_000 });

describe.skipIf(skipped !== '')(`the built-in page${skipped}`, () => {
  let browser: Browser;
  let server: RunningServer | undefined;
  const requested: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    if (pictures !== undefined) mkdirSync(pictures, { recursive: true });
  });
  afterEach(async () => {
    await server?.stop(0);
    expect(complaints.splice(0)).toEqual([]);
    const origin = server?.url ?? '';
    expect(requested.splice(0).filter((url) => !url.startsWith(origin) && !url.startsWith('data:'))).toEqual(
      [],
    );
  });
  afterAll(() => browser.close());

  async function open(
    locale: string,
    engine = new BigramEngine(),
    options: ServerOptions = {},
  ): Promise<Page> {
    server = await startServer(engine, { port: 0, ...options });
    const page = await browser.newPage({ locale, viewport: { width: 420, height: 720 } });
    page.on('request', (request) => requested.push(request.url()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('console', (message) => {
      // The browser itself reports answers such as 401 and 400, which these tests provoke.
      if (message.type() === 'error' && !message.text().includes('Failed to load resource')) {
        complaints.push(message.text());
      }
    });
    await page.goto(server.url);
    return page;
  }

  const picture = async (page: Page, name: string) => {
    if (pictures !== undefined) await page.screenshot({ path: `${pictures}/${name}.png` });
  };

  it('answers in a stream, in Chinese for a Chinese browser', async () => {
    const page = await open('zh-CN');
    await eventually(() => page.locator('#model').textContent()).toBe('bigram');
    expect(await page.locator('html').getAttribute('lang')).toBe('zh');
    await picture(page, 'welcome-zh');
    await page.getByRole('button', { name: '怎么申请退货？' }).click();
    await eventually(() => page.locator('#status').textContent()).toMatch(/\d+ 个词元，用时/);
    expect(await page.locator('.message.user').textContent()).toBe('怎么申请退货？');
    expect((await page.locator('.message.assistant').textContent())?.length).toBeGreaterThan(3);
    await picture(page, 'reply-zh');
    await page.close();
  });

  it('switches its language, stops a reply and starts a new chat, by keyboard', async () => {
    const engine = new BigramEngine({ endless: true, tokenMs: 5 });
    const page = await open('en-GB', engine);
    await page.getByRole('button', { name: '中文' }).click();
    await page.getByRole('button', { name: 'English' }).click();
    await page.getByLabel('Your message').fill('Where is my parcel?');
    await page.keyboard.press('Enter');
    await eventually(
      async () => (await page.locator('.message.assistant').textContent())?.length,
    ).toBeGreaterThan(10);
    await picture(page, 'writing-en');
    await page.getByRole('button', { name: 'Stop' }).click();
    await eventually(() => page.locator('#status').textContent()).toBe('Stopped.');
    await eventually(() => engine.running).toBe(0);
    expect(await page.evaluate('document.activeElement?.id')).toBe('input');
    await page.getByRole('button', { name: 'New chat' }).click();
    expect(await page.locator('.message').count()).toBe(0);
    expect(await page.locator('#greeting').isVisible()).toBe(true);
    await page.close();
  });

  it('asks for the API key and then answers', async () => {
    const page = await open('en-GB', new BigramEngine(), { apiKey: 'sesame' });
    await page.getByLabel('Your message').fill('You');
    await page.getByRole('button', { name: 'Send' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByLabel('API key').fill('sesame');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Send' }).click();
    await eventually(() => page.locator('#status').textContent()).toMatch(/tokens in/);
    await page.close();
  });

  it('drops the oldest exchange when the conversation outgrows the context', async () => {
    const page = await open('en-GB', new BigramEngine({ contextLength: 60 }));
    for (let turn = 1; turn <= 3; turn++) {
      await page.getByLabel('Your message').fill('Your parcel is on the way');
      await page.keyboard.press('Enter');
      await eventually(() => page.locator('.message.assistant:not(.waiting)').count()).toBe(turn);
    }
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.close();
  });
});
