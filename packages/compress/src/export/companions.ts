import type { FileStore } from '@edgedesk/tensor';
import { CheckpointError } from '@edgedesk/tensor';

/** Tokenizers of 250,000 entries with merges are 35 MB of JSON; templates and configs are some KB. */
const maxTokenizerBytes = 128 * 2 ** 20;
const maxConfigBytes = 8 * 2 ** 20;
const maxTemplateBytes = 2 ** 20;

/** The files around the weights that an artefact takes over from its checkpoint. */
export interface Companions {
  /** `tokenizer.json`, byte for byte. */
  readonly tokenizer: Uint8Array;
  /** `tokenizer_config.json` with the chat template inside, if there is one. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** The same template, as `chat_template.jinja` holds it. */
  readonly chatTemplate: string | undefined;
  /** `generation_config.json`; empty when the checkpoint has none. */
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

/** Reads them; CheckpointError when the tokenizer is missing or a file is not a JSON object. */
export async function readCompanions(source: FileStore): Promise<Companions> {
  if (!(await source.has('tokenizer.json'))) {
    throw new CheckpointError('the checkpoint has no tokenizer.json', {
      where: source.name,
      fix: 'copy it from the model that the tokenizer belongs to',
    });
  }
  const tokenizer = await source.readBytes('tokenizer.json', maxTokenizerBytes);
  parseObject(new TextDecoder().decode(tokenizer), `${source.name}/tokenizer.json`);
  const tokenizerConfig = await readObject(source, 'tokenizer_config.json');
  const separate = (await source.has('chat_template.jinja'))
    ? await source.readText('chat_template.jinja', maxTemplateBytes)
    : undefined;
  const inside = tokenizerConfig.chat_template;
  const chatTemplate = separate ?? (typeof inside === 'string' ? inside : undefined);
  return {
    tokenizer,
    // transformers.js reads the template here only.
    tokenizerConfig:
      chatTemplate === undefined ? tokenizerConfig : { ...tokenizerConfig, chat_template: chatTemplate },
    chatTemplate,
    generationConfig: await readObject(source, 'generation_config.json'),
  };
}

async function readObject(source: FileStore, path: string): Promise<Record<string, unknown>> {
  if (!(await source.has(path))) return {};
  return parseObject(await source.readText(path, maxConfigBytes), `${source.name}/${path}`);
}

function parseObject(text: string, where: string): Record<string, unknown> {
  const fix = 'use the file that came with the model';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError('the file is not JSON', { where, fix, cause });
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new CheckpointError('the file holds no JSON object', { where, fix });
}
