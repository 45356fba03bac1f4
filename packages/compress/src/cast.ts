import { CheckpointError } from '@edgedesk/tensor';
import { toDense } from '@edgedesk/models';
import { z } from 'zod';
import { withLinears } from './model.js';
import { definePass } from './pass.js';

const settings = z.strictObject({ storage: z.enum(['f32', 'f16']) });

/** The largest magnitude that rounds to a finite binary16. */
const maxHalf = 65520;

/** Stores the linear weights as plain floats of another width; ONNX Runtime computes with f32 either way. */
export const castPass = definePass({
  name: 'cast',
  settings,
  needs: 'nothing',
  apply(model, { storage }) {
    return Promise.resolve(
      withLinears(
        model,
        (slot, name) => ({
          shape: slot.shape,
          format: { kind: 'dense', storage },
          read: async () => {
            const linear = await slot.read();
            const weight = linear.kind === 'dense' ? linear.weight : toDense(linear);
            if (storage === 'f16' && weight.some((x) => Math.abs(x) >= maxHalf)) {
              throw new CheckpointError(`tensor "${name}" has weights too large for float16`, {
                where: model.name,
                fix: 'keep this model at 32 bits',
              });
            }
            return { kind: 'dense', shape: slot.shape, weight, storage };
          },
        }),
        { step: 'cast', settings: { storage } },
      ),
    );
  },
});
