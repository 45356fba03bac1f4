import type { LinearFormat } from '@edgedesk/models';

/** Names of an artefact's model files, and the data type by which transformers.js asks for them. */
export interface ModelFiles {
  /** Path in the artefact. */
  readonly model: string;
  readonly data: string;
  /** The data file's name beside the model, as the model refers to it. */
  readonly dataName: string;
  readonly transformersDtype: string;
}

/**
 * transformers.js derives the file name from the data type it is asked for; the name therefore says what is inside.
 * `edgedesk.json` and `genai_config.json` hold the path, so EdgeDesk and onnxruntime-genai follow any name.
 */
export function modelFiles(format: LinearFormat): ModelFiles {
  const [suffix, transformersDtype] = suffixAndDtype(format);
  const model = `model${suffix}.onnx`;
  const dataName = `${model}_data`;
  return { model: `onnx/${model}`, data: `onnx/${dataName}`, dataName, transformersDtype };
}

function suffixAndDtype(format: LinearFormat): readonly [suffix: string, dtype: string] {
  if (format.kind === 'dense') return format.storage === 'f32' ? ['', 'fp32'] : ['_fp16', 'fp16'];
  switch (format.bits) {
    case 8:
      return ['_quantized', 'q8'];
    case 4:
      return ['_q4', 'q4'];
    case 2:
      return ['_q2', 'q2'];
  }
}
