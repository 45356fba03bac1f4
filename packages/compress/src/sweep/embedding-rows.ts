import type { DecoderConfig } from '@edgedesk/models';

/** The rows of the embedding `[vocab, hidden]` for these ids, `[ids, hidden]`. */
export function embeddingRows(ids: Int32Array, embedding: Float32Array, hiddenSize: number): Float32Array {
  const rows = new Float32Array(ids.length * hiddenSize);
  ids.forEach((id, i) =>
    rows.set(embedding.subarray(id * hiddenSize, (id + 1) * hiddenSize), i * hiddenSize),
  );
  return rows;
}

/** Makes embedding rows the residual stream before the first block, in place, to the bit as the model's graph does. */
export function firstStream({ embeddingScale = 1 }: DecoderConfig, rows: Float32Array): Float32Array {
  if (embeddingScale === 1) return rows;
  const factor = Math.fround(embeddingScale);
  for (let i = 0; i < rows.length; i++) rows[i]! *= factor;
  return rows;
}
