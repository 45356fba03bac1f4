import { HubError } from '@edgedesk/tensor';
import { weightsFile, weightsIndexFile } from '../checkpoint/open-weights.js';
import { hubLimits } from './limits.js';
import { assertFileName } from './repo-name.js';

/** What `loadCheckpoint` cannot do without. */
const required = ['config.json', 'tokenizer.json'];
const optional = [
  'generation_config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
];
const shardPattern = /^model-\d+-of-\d+\.safetensors$/;

/**
 * Of a repository's files those to have: those that a pattern in `globs` matches, or what our loader reads, which is a
 * checkpoint in safetensors or the only GGUF file. Weights come last. HubError when there is nothing to have.
 */
export function chooseFiles(files: readonly string[], globs: readonly string[], where: string): string[] {
  const chosen = globs.length > 0 ? matching(files, globs, where) : checkpointFiles(files, where);
  for (const path of chosen) assertFileName(path, where);
  if (chosen.length > hubLimits.maxFiles) {
    throw new HubError('refused', `these are ${chosen.length} files, more than ${hubLimits.maxFiles}`, {
      where,
      fix: 'name fewer with --file',
    });
  }
  return chosen.sort((a, b) => Number(isWeights(a)) - Number(isWeights(b)));
}

export const isWeights = (path: string): boolean => /\.(safetensors|gguf)$/.test(path);

function matching(files: readonly string[], globs: readonly string[], where: string): string[] {
  for (const glob of globs) {
    if (files.some((path) => matchesGlob(path, glob))) continue;
    throw new HubError('not-found', `no file matches ${glob}`, { where, fix: offer(files) });
  }
  return files.filter((path) => globs.some((glob) => matchesGlob(path, glob)));
}

function checkpointFiles(files: readonly string[], where: string): string[] {
  const all = new Set(files);
  const ggufs = files.filter((path) => path.endsWith('.gguf'));
  const weights = all.has(weightsFile)
    ? [weightsFile]
    : all.has(weightsIndexFile)
      ? [weightsIndexFile, ...files.filter((path) => shardPattern.test(path))]
      : [];
  if (weights.length === 0) {
    if (ggufs.length === 1) return ggufs;
    const fix = ggufs.length > 1 ? `choose one with --file: ${some(ggufs)}` : 'choose another repository';
    throw new HubError('not-found', `there is no ${weightsFile}`, { where, fix });
  }
  const missing = required.find((name) => !all.has(name));
  if (missing !== undefined) {
    throw new HubError('not-found', `there is no ${missing}, which a checkpoint needs`, {
      where,
      fix: 'choose another repository, or name the files to have with --file',
    });
  }
  return [...required, ...optional.filter((name) => all.has(name)), ...weights];
}

const offer = (files: readonly string[]): string =>
  files.length === 0 ? 'choose another repository' : `it has ${some(files)}`;

function some(names: readonly string[]): string {
  const shown = names.slice(0, 8).map((name) => name.slice(0, 100));
  return shown.join(', ') + (names.length > shown.length ? ` and ${names.length - shown.length} more` : '');
}

/** `*` stands for any characters, `/` too, and `?` for one, as for huggingface_hub. Time: path times pattern. */
export function matchesGlob(path: string, glob: string): boolean {
  let star = -1;
  let matched = 0;
  let g = 0;
  for (let p = 0; p < path.length; ) {
    if (glob[g] === '*') {
      star = g++;
      matched = p;
    } else if (glob[g] === path[p] || glob[g] === '?') {
      g++;
      p++;
    } else if (star >= 0) {
      g = star + 1;
      p = ++matched;
    } else return false;
  }
  return [...glob.slice(g)].every((rest) => rest === '*');
}
