import { Command } from 'commander';
import { formatBytes } from '../terminal/format.js';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';

interface PullCommandOptions {
  readonly file?: readonly string[];
  readonly endpoint?: string;
  readonly cache?: string;
  readonly offline?: boolean;
  readonly tokenEnv?: string;
  readonly json?: JsonTarget;
}

export function pullCommand(): Command {
  return new Command('pull')
    .description(
      'Bring a model from Hugging Face or a mirror into the cache, or go on where that was interrupted',
    )
    .argument('<repo>', 'ORG/NAME, with @REVISION for another than main')
    .option('--file <glob...>', 'files to have, such as "*Q4_0.gguf" (default: what a checkpoint needs)')
    .option('--endpoint <url>', 'the hub (default: HF_ENDPOINT, or https://huggingface.co)')
    .option('--cache <folder>', "the cache (default: huggingface_hub's: HF_HUB_CACHE, HF_HOME)")
    .option('--offline', 'ask nobody: check that the cache has it (default: HF_HUB_OFFLINE)')
    .option('--token-env <name>', 'variable that holds the token (default: HF_TOKEN)')
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk pull HuggingFaceTB/SmolLM2-135M-Instruct
  edgedesk pull Qwen/Qwen2.5-0.5B-Instruct@main --endpoint https://hf-mirror.com
  edgedesk pull bartowski/SmolLM2-135M-Instruct-GGUF --file "*Q8_0.gguf"
  edgedesk compress hf:HuggingFaceTB/SmolLM2-135M-Instruct --bits 4 --out out/smollm2`,
    )
    .action(pull);
}

async function pull(repo: string, options: PullCommandOptions): Promise<void> {
  const { file, endpoint, cache, offline, tokenEnv } = options;
  const { pullWithProgress } = await import('../model/pull-model.js');
  const pulled = await pullWithProgress(repo, {
    ...(file === undefined ? {} : { files: file }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(cache === undefined ? {} : { cache }),
    ...(offline === undefined ? {} : { offline }),
    ...(tokenEnv === undefined ? {} : { tokenEnv }),
  });
  if (await writeJson(options.json, pulled)) return;
  const sizeBytes = pulled.files.reduce((sum, one) => sum + one.sizeBytes, 0);
  process.stdout.write(
    `${pulled.path}: ${pulled.files.length} files, ${formatBytes(sizeBytes)}, commit ${pulled.commit.slice(0, 8)}.\n`,
  );
}
