import { weightName } from '@edgedesk/models';
import type { LoraOptions } from '../graph/training-graph.js';

/** Name of an adapter tensor in a PEFT checkpoint. */
export const peftName = (parameter: string): string => `base_model.model.${parameter}`;

/** `adapter_config.json` as the PEFT library writes it. `base`: where the base model can be found. */
export function peftConfig(lora: LoraOptions, base: string): Readonly<Record<string, unknown>> {
  return {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: lora.rank,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: lora.roles.map((role) => weightName.linear(0, role).split('.').at(-2)!),
  };
}
