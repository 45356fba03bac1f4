import { HubError } from '@edgedesk/tensor';
import { describe, expect, it } from 'vitest';
import { chooseFiles, matchesGlob } from './file-choice.js';
import { retryAfterMs } from './failure.js';
import { isHubModel, parseHubModel, repoFolder, snapshotName } from './repo-name.js';

describe('the name of a model on a hub', () => {
  it.each([
    ['gpt2', { repo: 'gpt2', revision: 'main' }],
    ['hf:Qwen/Qwen2.5-0.5B', { repo: 'Qwen/Qwen2.5-0.5B', revision: 'main' }],
    ['a/b@refs/pr/3', { repo: 'a/b', revision: 'refs/pr/3' }],
    ['hf:a/b@v1.0:x/y-Q4_K_M.gguf', { repo: 'a/b', revision: 'v1.0', file: 'x/y-Q4_K_M.gguf' }],
  ])('%s', (text, model) => expect(parseHubModel(text)).toEqual(model));

  it.each([
    ...['', 'hf:', '/a', 'a/', 'a/b/c', '../b', 'a/..', './a/b', 'a--b/c', '.a/b', 'a./b', 'a/b.git', 'a b/c', '模型/b'],
    ...['a/b@', 'a/b@..', 'a/b@x..y', 'a/b@/x', 'a/b@x/', 'a/b@x.lock', 'a/b@-x', `a/b@${'x'.repeat(201)}`],
    ...['a/b:', 'a/b:../x', 'a/b:/x', 'a/b:x//y', 'a/b:x\\y', 'a/b:C:x', 'a/b:x\0', 'a/b:./x', 'a/b:x.'],
  ])('is not %j', (text) => expect(() => parseHubModel(text)).toThrow(HubError));

  it('differs from every path', () => {
    expect([isHubModel('hf:a/b'), isHubModel('./hf:a/b'), isHubModel('a/b'), isHubModel('/hf:a')]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  it('is told from its place in the cache', () => {
    expect(repoFolder('Qwen/Qwen3-0.6B')).toBe('models--Qwen--Qwen3-0.6B');
    const commit = '0123456789'.repeat(4);
    expect(snapshotName(`/c/models--Qwen--Qwen3-0.6B/snapshots/${commit}`)).toBe('Qwen3-0.6B');
    expect(snapshotName(`/c/models--gpt2/snapshots/${commit}/`)).toBe('gpt2');
    expect(snapshotName(`/c/gpt2/snapshots/${commit}`)).toBeUndefined();
  });
});

describe('chooseFiles', () => {
  const small = ['README.md', 'config.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.json'];

  it('takes what the loader reads, weights last', () => {
    const one = ['model.safetensors', 'pytorch_model.bin', 'onnx/model.onnx', 'x.gguf', ...small];
    expect(chooseFiles(one, [], 'a/b')).toEqual([
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'model.safetensors',
    ]);
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const many = [...shards, 'consolidated.safetensors', 'model.safetensors.index.json', ...small];
    expect(chooseFiles(many, [], 'a/b').slice(-3)).toEqual(['model.safetensors.index.json', ...shards]);
    expect(chooseFiles(['README.md', 'x.gguf'], [], 'a/b')).toEqual(['x.gguf']);
  });

  it('takes what patterns match', () => {
    expect(chooseFiles(['a-Q4_0.gguf', 'a-Q8_0.gguf', 'README.md'], ['*q4*', '*Q8_?.gguf'].slice(1), 'a/b')).toEqual([
      'a-Q8_0.gguf',
    ]);
    expect(matchesGlob('x/y/z.json', '*.json')).toBe(true);
    expect(matchesGlob('x.json', 'x.json?')).toBe(false);
    expect(matchesGlob('', '**')).toBe(true);
    expect(matchesGlob('a'.repeat(500), `${'*a'.repeat(100)}b`)).toBe(false);
  });

  it.each<[RegExp, readonly string[], readonly string[]]>([
    [/no file matches \*\.gguf; it has README\.md/, ['README.md'], ['*.gguf']],
    [/no model\.safetensors; choose one with --file: a\.gguf, b\.gguf\./, ['a.gguf', 'b.gguf'], []],
    [/no model\.safetensors; choose another/, ['pytorch_model.bin', ...small], []],
    [/no tokenizer\.json/, ['config.json', 'model.safetensors'], []],
    [/"\.\.\/\.\.\/x\.json" could leave the cache/, ['../../x.json'], ['*']],
    [/could leave/, ['/etc/passwd'], ['*']],
    [/could leave/, ['a\\..\\b'], ['*']],
    [/these are 2000 files/, Array.from({ length: 2000 }, (_, i) => `f${i}`), ['*']],
  ])('says %s', (sentence, files, globs) => {
    let said = '';
    try {
      chooseFiles(files, globs, 'a/b');
    } catch (error) {
      said = (error as HubError).sentence;
    }
    expect(said).toMatch(sentence);
  });
});

describe('retryAfterMs', () => {
  it('reads seconds and dates', () => {
    expect([null, '7', 'soon', 'Wed, 21 Oct 2015 07:28:10 GMT'].map((h) => retryAfterMs(h, Date.UTC(2015, 9, 21, 7, 28)))).toEqual([
      undefined,
      7000,
      undefined,
      10_000,
    ]);
  });
});
