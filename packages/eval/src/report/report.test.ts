import { describe, expect, it } from 'vitest';
import { compareModels } from '../compare.js';
import { BigramEngine } from '../testing/bigram-engine.case.js';
import { sampleCorpus, sampleFiles } from '../testing/sample-rows.case.js';
import { measureSpeed } from '../speed/measure-speed.js';
import { htmlReport } from './html-report.js';
import { roundTicks } from './markup.js';
import { qualityKept } from './quality-kept.js';
import type { EvalReport } from './schema.js';
import { reportTable } from './terminal-table.js';
import { displayWidth, textTable } from './text-table.js';

const corpus = sampleCorpus();
const hostile = '</script><img src=x onerror="alert(1)">';

async function sampleReports(): Promise<EvalReport[]> {
  const base = new BigramEngine(corpus);
  const files = Object.values(sampleFiles).map((file, i) => (i === 0 ? { ...file, file: hostile } : file));
  const models = [1, 2].map((step) => ({
    name: `step ${step}`,
    open: () => Promise.resolve(new BigramEngine(corpus, { step })),
  }));
  const reports = await compareModels({ base, baseName: 'FP32', models, files });
  const speed = await measureSpeed({
    openEngine: () => Promise.resolve(base),
    promptTokens: 16,
    newTokens: 8,
  });
  return reports.map((report) => ({ ...report, speed: { ...speed, peakRssBytes: 8e7 } }));
}

/** Elements that were opened and not closed, or closed out of turn. */
function unbalanced(html: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  const empty = new Set(['meta', 'line', 'rect', 'circle', 'path', 'img']);
  for (const [, slash, name, selfClosing] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*?(\/?)>/g)) {
    if (slash === '/') {
      const last = open.pop();
      if (last !== name) wrong.push(`</${name}> behind <${last}>`);
    } else if (selfClosing === '' && !empty.has(name!)) open.push(name!);
  }
  return [...wrong, ...open];
}

describe('htmlReport', () => {
  it.each(['en', 'zh'] as const)('is one whole page that asks nothing of the network (%s)', async (lang) => {
    const reports = await sampleReports();
    const html = htmlReport(reports, { lang });
    expect(unbalanced(html)).toEqual([]);
    expect(html).not.toMatch(/https?:|\b(src|href|url)\s*[=(]\s*["']?[^"'\s&]*\/\/|@import|<link|<img/);
    expect(html).toContain(lang === 'zh' ? '质量保留' : 'Quality kept');
    expect(html).toContain('step 2');
    expect(html).toContain('&lt;/script&gt;&lt;img');
    expect(html.match(/<svg /g)!.length).toBeGreaterThan(6);
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
    const json = /<script type="application\/json" id="reports">(.*)<\/script>/.exec(html)![1]!;
    expect(JSON.parse(json)).toEqual(reports);
  });

  it('stands without a base, speeds or rows', () => {
    const report: EvalReport = {
      format: 1,
      name: 'lone',
      sizeBytes: 0,
      parameters: 0,
      bitsPerWeight: 0,
      data: [],
      settings: { limit: null, replyTokens: 8, seed: 1 },
    };
    expect(unbalanced(htmlReport([report]))).toEqual([]);
    expect(unbalanced(htmlReport([]))).toEqual([]);
    expect(reportTable([report])).toContain('lone');
  });
});

describe('reportTable', () => {
  it.each(['en', 'zh'] as const)('shows each model and keeps columns aligned (%s)', async (lang) => {
    const table = reportTable(await sampleReports(), { lang });
    const [header, rule, ...rows] = table.split('\n\n')[0]!.split('\n');
    expect(rows).toHaveLength(3);
    for (const line of [header!, ...rows]) expect(displayWidth(line)).toBe(displayWidth(rule!));
    expect(table).toContain('100.0%');
    // The base keeps all of itself and does not say so.
    const agreement = /(Same next token as base|首选词元与基准一致) +100\.0% +\d+\.\d% \(\d+\.\d%\)/;
    expect(table).toMatch(agreement);
    expect(table).not.toMatch(/NaN|undefined/);
  });

  it('counts Chinese characters as two columns', () => {
    expect(displayWidth('模型 A（新）')).toBe(12);
    expect(displayWidth('e\u0301')).toBe(1);
    expect(textTable(['模型', 'x'], [['ab', '1']]).split('\n')).toEqual(['模型  x', '───────', 'ab    1']);
  });
});

describe('qualityKept', () => {
  it('weighs files alike, caps gains and leaves out what the base cannot do', () => {
    const data = [
      {
        kept: { perplexity: 0.5, top1Agreement: 0.5, bitsPerByte: 0.1 },
        base: { perplexity: 9, top1Agreement: 1 },
      },
      { kept: { rougeL: 1.7, tokenF1: 0.01, chrF: null }, base: { rougeL: 0.3, tokenF1: 0.02, chrF: 0 } },
      {},
    ];
    expect(qualityKept(data)).toBeCloseTo(Math.sqrt(0.5 * 1), 12);
    expect(qualityKept([{}])).toBeNull();
  });
});

describe('roundTicks', () => {
  it('covers the range in round steps', () => {
    expect(roundTicks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
    expect(roundTicks(0, 57e6, 6)).toEqual([0, 1e7, 2e7, 3e7, 4e7, 5e7]);
    expect(roundTicks(0, 0, 5).length).toBeGreaterThan(0);
  });
});
