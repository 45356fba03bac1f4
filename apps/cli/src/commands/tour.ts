import { Command, Option } from 'commander';
import { environmentLanguage } from '../terminal/language.js';
import type { Language } from '../terminal/language.js';
import { wholeNumber } from '../terminal/numbers.js';

interface TourOptions {
  readonly model?: string;
  readonly out: string;
  readonly rows?: number;
  readonly lang?: Language;
}

export function tourCommand(): Command {
  return new Command('tour')
    .description(
      'Compress the model that ships, compare the results, and offer a chat (what `npm start` runs)',
    )
    .option('--model <folder>', 'another checkpoint than the one that ships')
    .option('--out <folder>', 'folder for the models and the report', 'out')
    .option(
      '--rows <n>',
      'rows of each kind to measure (default: what two or three minutes allow)',
      wholeNumber(1),
    )
    .addOption(
      new Option('--lang <language>', 'language of this program (default: from LANG)').choices(['en', 'zh']),
    )
    .addHelpText('after', '\nExamples:\n  edgedesk tour\n  edgedesk tour --lang zh --rows 100')
    .action(async (options: TourOptions) => {
      const { runTour } = await import('../tour/run-tour.js');
      await runTour({ ...options, language: options.lang ?? environmentLanguage() });
    });
}
