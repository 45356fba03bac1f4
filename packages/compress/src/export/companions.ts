/** The files around the weights that an artefact takes over from its checkpoint. */
export interface Companions {
  /** Tokenizer files by name. */
  readonly tokenizerFiles: ReadonlyMap<string, string>;
  /** `generation_config.json`; empty when the checkpoint has none. */
  readonly generationConfig: Readonly<Record<string, unknown>>;
}

const configFile = 'tokenizer_config.json';
const templateFile = 'chat_template.jinja';

/**
 * Tokenizer files with the chat template in both places: transformers.js reads it in `tokenizer_config.json` only, newer
 * Python libraries in `chat_template.jinja`. `files` were read and checked by `loadCheckpoint`.
 */
export function withTemplateInside(files: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const config = JSON.parse(files.get(configFile) ?? '{}') as Record<string, unknown>;
  const template = config.chat_template ?? files.get(templateFile);
  if (template === undefined) return new Map(files).set(configFile, `${JSON.stringify(config, null, 2)}\n`);
  const result = new Map(files);
  result.set(configFile, `${JSON.stringify({ ...config, chat_template: template }, null, 2)}\n`);
  if (typeof template === 'string') result.set(templateFile, template);
  return result;
}
