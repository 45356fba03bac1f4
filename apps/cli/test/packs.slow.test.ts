import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseRowLine, refusalReply } from '@edgedesk/models';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';

const packs = fileURLToPath(new URL('../../../packs', import.meta.url));
const names = ['retail', 'bank', 'clinic'].flatMap((domain) =>
  ['en', 'zh'].map((lang) => `${domain}/${lang}`),
);
const kinds: Record<string, string> = {
  'faq.jsonl': 'grounded',
  'out-of-scope.jsonl': 'grounded',
  'conversations.jsonl': 'chat',
  'hand-off.jsonl': 'chat',
  'tools.jsonl': 'chat',
  'intents.jsonl': 'intent',
  'visits.jsonl': 'chat',
};
const test = Object.keys(kinds).filter((file) => file !== 'visits.jsonl');
const files = {
  train: Object.keys(kinds),
  dev: ['faq.jsonl', 'out-of-scope.jsonl', 'hand-off.jsonl', 'intents.jsonl'],
  test,
};

const lines = (path: string) => readFileSync(path, 'utf8').trimEnd().split('\n');
const check = (root: string, ...args: string[]) =>
  spawnSync(process.execPath, [join(root, 'build-packs.mjs'), '--check', ...args], { encoding: 'utf8' });

describe('the packs', () => {
  it('are sound, complete and up to date', () => {
    const { status, stderr } = check(packs);
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it.each(names)('%s has rows that the training and evaluation code reads', (name) => {
    for (const [split, expected] of Object.entries(files)) {
      const folder = join(packs, name, split);
      expect(readdirSync(folder).sort()).toEqual([...expected].sort());
      for (const file of expected) {
        const rows = lines(join(folder, file)).map((line, at) =>
          parseRowLine(line, `${name}/${split}/${file}:${at + 1}`),
        );
        expect(new Set(rows.map((row) => row.kind))).toEqual(new Set([kinds[file]]));
        expect(new Set(rows.map((row) => row.lang))).toEqual(new Set([name.slice(-2)]));
      }
    }
  });

  it.each(names)("%s refuses in visits with the library's words", (name) => {
    const said = lines(join(packs, name, 'train/visits.jsonl'))
      .flatMap((line) => (JSON.parse(line) as { messages: { content: string }[] }).messages)
      .map(({ content }) => content)
      .filter((content) => content.includes('<no_answer/>'));
    expect(new Set(said)).toEqual(new Set([refusalReply(name.slice(-2) as 'en' | 'zh')]));
  });
});

describe('the reading exercises', () => {
  const splits = { train: ['businesses.jsonl', 'texts.jsonl'], dev: ['businesses.jsonl', 'texts.jsonl'] };

  it.each(['en', 'zh'])('in %s are grounded rows, and what is answered rests on a passage', (lang) => {
    for (const [split, expected] of Object.entries(splits)) {
      const folder = join(packs, 'reading', lang, split);
      expect(readdirSync(folder).sort()).toEqual(expected);
      for (const file of expected) {
        for (const [at, line] of lines(join(folder, file)).entries()) {
          const row = parseRowLine(line, `reading/${lang}/${split}/${file}:${at + 1}`);
          if (row.kind !== 'grounded') throw new Error(`${file}:${at + 1} is no grounded row`);
          expect(row.lang).toBe(lang);
          expect(row.goldIds.length).toBe(row.answer === null ? 0 : 1);
          if (file === 'texts.jsonl') expect(row.context[0]!.text).toContain(row.answer);
        }
      }
    }
  });

  it.each([
    [
      'texts',
      '{"title":"T","text":"Opened in 1987.","questions":[{"q":"When?","a":"1988"}]}',
      '"1988" does not stand',
    ],
    ['texts', '{"title":"T","text":"a@shop.com","questions":[{"q":"Who?","a":"a"}]}', 'use example.com'],
    [
      'businesses',
      '{"business":"B","passages":[{"title":"T","text":"Free."}],"questions":[{"q":"Cost?","p":1,"a":"None."}]}',
      'names no passage',
    ],
  ])('in %s: refuses what is wrong and names the line', (kind, line, complaint) => {
    const root = mkdtempSync(join(tmpdir(), 'edgedesk-reading-'));
    try {
      for (const part of ['build-packs.mjs', 'builder', 'reading/en']) {
        cpSync(join(packs, part), join(root, part), { recursive: true });
      }
      const source = join(root, `reading/en/${kind}.source.jsonl`);
      const at = lines(source).length + 1;
      appendFileSync(source, `${line}\n`);
      const { status, stderr } = check(root, 'reading/en');
      expect(status).toBe(1);
      expect(stderr).toContain(`reading/en/${kind}.source.jsonl:${at}: `);
      expect(stderr).toContain(complaint);
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('build-packs --check', () => {
  const root = mkdtempSync(join(tmpdir(), 'edgedesk-packs-'));
  const pack = join(root, 'retail/en');
  const checkPack = () => check(root, 'retail/en');
  beforeEach(() => {
    for (const part of ['build-packs.mjs', 'builder', 'retail/en']) {
      cpSync(join(packs, part), join(root, part), { recursive: true, force: true });
    }
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it('accepts the copy it starts from', () => {
    expect(checkPack().stderr).toBe('');
  });

  it('finds a test question trained on under other case, digits and punctuation', () => {
    const path = join(pack, 'faq.source.jsonl');
    const [first = '', ...rest] = lines(path);
    const entry = JSON.parse(first) as { questions: { train: string[]; test: string[] } };
    entry.questions.train.push('Is it free from 49 dollars?');
    entry.questions.test.push('is it FREE, from 51 Dollars');
    writeFileSync(path, [JSON.stringify(entry), ...rest, ''].join('\n'));
    const { status, stderr } = checkPack();
    expect(status).toBe(1);
    expect(stderr).toContain(
      'test text "is it FREE, from 51 Dollars" is trained on in retail/en/faq.source.jsonl:1',
    );
  });

  it.each([
    ['a cut line', '{"split":"test","kind":"out_of', 'is not readable'],
    [
      'an unknown passage',
      '{"split":"test","kind":"out_of_scope","question":"?","passages":["nowhere"]}',
      'passage `nowhere`',
    ],
    [
      'a hand-over without its mark',
      '{"split":"test","kind":"hand_off","messages":[{"role":"user","content":"help"},{"role":"assistant","content":"ok"}]}',
      'must start with <hand_off/>',
    ],
    [
      'a call of a tool that is not listed',
      '{"split":"test","kind":"tool","tools":[{"name":"a"}],"messages":[{"role":"user","content":"go"},{"role":"assistant","content":"<tool_call>{\\"name\\":\\"b\\",\\"arguments\\":{}}</tool_call>"}]}',
      'calls `b`, which is not among its tools',
    ],
    [
      'a foreign address',
      '{"split":"test","kind":"out_of_scope","question":"is a@shop.com yours"}',
      'use example.com',
    ],
  ])('refuses %s and names the line', (_, line, complaint) => {
    const at = lines(join(pack, 'cases.source.jsonl')).length + 1;
    appendFileSync(join(pack, 'cases.source.jsonl'), `${line}\n`);
    const { status, stderr } = checkPack();
    expect(status).toBe(1);
    expect(stderr).toContain(`retail/en/cases.source.jsonl:${at}: `);
    expect(stderr).toContain(complaint);
  });

  it('finds generated files that were edited or that nothing generates', () => {
    appendFileSync(join(pack, 'test/intents.jsonl'), '{"text":"hi","intent":"greet","lang":"en"}\n');
    writeFileSync(join(pack, 'train/extra.jsonl'), '');
    const { status, stderr } = checkPack();
    rmSync(join(pack, 'train/extra.jsonl'));
    expect(status).toBe(1);
    expect(stderr).toContain('test/intents.jsonl: is out of date');
    expect(stderr).toContain('train/extra.jsonl: is generated by nothing');
  });
});
