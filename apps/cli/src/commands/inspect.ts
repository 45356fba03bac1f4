import { Command } from 'commander';
import { jsonOption, writeJson } from '../terminal/json.js';
import type { JsonTarget } from '../terminal/json.js';

interface InspectOptions {
  readonly verify: boolean;
  readonly json?: JsonTarget;
}

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('Show what a model is made of, and check its files against their SHA-256')
    .argument('<model>', 'artefact or checkpoint folder, or a GGUF file')
    .option('--no-verify', 'do not read the files of an artefact to check them')
    .option(...jsonOption)
    .addHelpText(
      'after',
      `
Examples:
  edgedesk inspect out/int4
  edgedesk inspect models/edgedesk-base --json base.json`,
    )
    .action(inspect);
}

async function inspect(model: string, options: InspectOptions): Promise<void> {
  const [{ inspectModel }, { inspectionText }] = await Promise.all([
    import('../model/inspect-model.js'),
    import('../model/inspection-text.js'),
  ]);
  const inspection = await inspectModel(model, options.verify);
  if (!(await writeJson(options.json, inspection))) process.stdout.write(inspectionText(inspection));
}
