import { describe, expect, it } from 'vitest';
import { tinyConfig } from '../artefact.case.js';
import { KvRows } from './kv-rows.js';
import { PrefixCache } from './prefix-cache.js';

const rowSize = tinyConfig.kvHeadCount * tinyConfig.headDim;
const stretches = 2 * tinyConfig.layerCount;
const rowBytes = stretches * rowSize * 4;

/** Rows whose numbers tell layer, kind and token: [stretch * 1000 + token]. */
function rowsOf(tokens: readonly number[]): Float32Array {
  const added = new Float32Array(stretches * tokens.length * rowSize);
  for (let s = 0; s < stretches; s++) {
    tokens.forEach((token, t) => {
      added.fill(s * 1000 + token, (s * tokens.length + t) * rowSize, (s * tokens.length + t + 1) * rowSize);
    });
  }
  return added;
}

function extend(rows: KvRows, tokens: readonly number[]): KvRows {
  const fresh = tokens.slice(rows.length);
  rows.append(fresh, rowsOf(fresh));
  return rows;
}

function expectRows(rows: KvRows): void {
  const past = Object.entries(rows.feeds()).filter(([name]) => name.startsWith('past.'));
  for (const [s, [, view]] of past.entries()) {
    expect(view.shape).toEqual([Math.max(1, rows.length), tinyConfig.kvHeadCount, tinyConfig.headDim]);
    rows.tokens.forEach((token, t) => {
      expect(view.data[t * rowSize]).toBe(s * 1000 + token);
      expect(view.data[(t + 1) * rowSize - 1]).toBe(s * 1000 + token);
    });
  }
}

const count = (from: number, length: number) => Array.from({ length }, (_, i) => from + i);

describe('key and value rows', () => {
  it('keep their numbers while they grow, shrink and are copied', () => {
    const rows = extend(new KvRows(tinyConfig), count(0, 3));
    extend(rows, count(0, 200));
    expectRows(rows);
    rows.truncate(50);
    extend(rows, [...count(0, 50), ...count(500, 300)]);
    expectRows(rows);
    const copy = new KvRows(tinyConfig);
    copy.copyFrom(rows, 60, 10);
    expect(copy.tokens).toEqual(rows.tokens.slice(0, 60));
    extend(copy, [...copy.tokens, 7, 8, 9]);
    expectRows(copy);
    expectRows(rows);
    expectRows(new KvRows(tinyConfig));
  });

  it('are seen as past and recent ones, wherever the border lies', () => {
    const rows = extend(new KvRows(tinyConfig), count(0, 40));
    for (const border of [1, 7, 39, 40]) {
      const feeds = rows.feeds(border);
      const joined = (kind: string) =>
        ['past', 'recent'].flatMap((part) => Array.from(feeds[`${part}.1.${kind}`]!.data as Float32Array));
      for (const [i, kind] of ['key', 'value'].entries()) {
        expect(joined(kind).filter((_, at) => at % rowSize === 0)).toEqual(count((2 + i) * 1000, 40));
      }
      expect(feeds['recent.0.key']!.shape[0]).toBe(40 - border);
    }
  });

  it('take the accepted beginning of what was added', () => {
    const rows = extend(new KvRows(tinyConfig), count(0, 3));
    rows.append([3, 4], rowsOf([3, 4, 9, 9]), 4);
    expectRows(rows);
    expect(rows.tokens).toEqual(count(0, 5));
  });

  it('refuse rows of another number', () => {
    expect(() => new KvRows(tinyConfig).append([1, 2], rowsOf([1, 2]), 1)).toThrow('not the rows');
    expect(() => new KvRows(tinyConfig).append([1, 2], rowsOf([1]))).toThrow('not the rows of 2 tokens');
  });
});

describe('the prefix cache', () => {
  const make = (rows: number) => new PrefixCache(tinyConfig, rows * rowBytes);
  const put = (cache: PrefixCache, tokens: readonly number[]) => {
    cache.put(extend(cache.take(tokens, tokens.length, tokens.length), tokens));
  };

  it('hands a continued sequence over without copying', () => {
    const cache = make(1000);
    const first = extend(cache.take([1, 2, 3], 2, 10), [1, 2, 3]);
    cache.put(first);
    const again = cache.take([1, 2, 3, 4], 3, 10);
    expect(again).toBe(first);
    expect(again.length).toBe(3);
    expect(cache.sizeBytes).toBe(0);
  });

  it('leaves the last token to be read', () => {
    const cache = make(1000);
    put(cache, [1, 2, 3]);
    expect(cache.take([1, 2, 3], 2, 3).length).toBe(2);
  });

  it('copies a shared beginning when the rest is worth keeping', () => {
    const cache = make(1000);
    const long = [...count(0, 100), ...count(300, 100)];
    put(cache, long);
    const branch = cache.take([...count(0, 100), ...count(700, 50)], 149, 200);
    expect(branch.length).toBe(100);
    expectRows(branch);
    expect(cache.sizeBytes).toBe(200 * rowBytes);
    extend(branch, [...count(0, 100), 5]);
    const whole = cache.take(long, 199, 200);
    expect(whole.length).toBe(199);
    expectRows(whole);
  });

  it('forgets the least recently used first and stays within its memory', () => {
    const cache = make(250);
    put(cache, count(1000, 100));
    put(cache, count(2000, 100));
    cache.put(cache.take(count(1000, 100), 100, 100));
    put(cache, count(3000, 100));
    expect(cache.sizeBytes).toBe(200 * rowBytes);
    const kept = cache.take(count(1000, 100), 99, 100);
    expect(kept.length).toBe(99);
    cache.put(kept);
    const lost = cache.take(count(2000, 100), 99, 100);
    expect(lost.length).toBe(0);
    cache.put(lost);
    put(cache, count(0, 251));
    expect(cache.sizeBytes).toBeLessThanOrEqual(250 * rowBytes);
  });

  it('keeps one of two sequences of which one begins the other', () => {
    const cache = make(1000);
    const short = cache.take(count(0, 50), 49, 50);
    const long = cache.take(count(0, 120), 119, 120);
    cache.put(extend(short, count(0, 50)));
    cache.put(extend(long, count(0, 120)));
    expect(cache.sizeBytes).toBe(120 * rowBytes);
    const late = new KvRows(tinyConfig);
    cache.put(extend(late, count(0, 50)));
    expect(cache.sizeBytes).toBe(120 * rowBytes);
  });
});
