import { expect, it } from 'vitest';
import { tinyConfig } from '../trainer/tiny-run.case.js';
import { adaptersByWeight, mergeAdapter } from './merge.js';
import { peftConfig, peftName } from './peft.js';

it('merges W + scale * B A', () => {
  // W [2, 3], A [2, 3], B [2, 2]
  const weight = Float32Array.of(1, 2, 3, 4, 5, 6);
  mergeAdapter(weight, Float32Array.of(1, 0, 2, 0, 1, 1), Float32Array.of(1, 2, 3, 4), 2, 0.5);
  expect([...weight]).toEqual([1.5, 3, 5, 5.5, 7, 11]);
});

it('names adapters as PEFT does', () => {
  const lora = { rank: 4, alpha: 8, roles: ['q', 'down'] as const };
  const adapters = adaptersByWeight(tinyConfig, lora);
  expect([...adapters.keys()]).toContain('model.layers.1.mlp.down_proj.weight');
  expect(peftName(adapters.get('model.layers.0.self_attn.q_proj.weight')!.a)).toBe(
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
  );
  expect(peftConfig(lora, '../base')).toMatchObject({
    r: 4,
    lora_alpha: 8,
    target_modules: ['q_proj', 'down_proj'],
  });
});
