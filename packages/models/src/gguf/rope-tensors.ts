/** llama.cpp's tensors of what the rotary frequencies are divided by: always; in short texts; in long ones. */
export const ropeTensors = {
  always: 'rope_freqs.weight',
  short: 'rope_factors_short.weight',
  long: 'rope_factors_long.weight',
} as const;
