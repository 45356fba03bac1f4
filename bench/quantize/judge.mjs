// What an artefact loses against full precision on given text, as the engine runs it.
import { existsSync } from 'node:fs';
import { cp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { klDivergenceSum } from '@edgedesk/eval';
import { rowToConversation } from '@edgedesk/models';
import { readRows } from '@edgedesk/models/node';
import { openEngine } from '@edgedesk/runtime/node';
import { onnx } from '@edgedesk/tensor';

/** Tokens of a document that are looked at: whole conversations, and many articles rather than one. */
const pieceTokens = 256;

/** Beginnings of documents spread over `file` as token ids, until they have `tokens` to predict. */
export async function readPieces(file, tokens, engine) {
  const rows = [];
  for await (const row of readRows(file)) rows.push(row);
  const pieces = [];
  let left = tokens;
  // A stride that shares no factor with the number of rows visits each of them once.
  let stride = Math.max(1, Math.round(rows.length * 0.618));
  while (gcd(stride, rows.length) !== 1) stride++;
  for (let i = 0; i < rows.length && left > 0; i++) {
    const conversation = rowToConversation(rows[(i * stride) % rows.length]);
    const ids =
      conversation.kind === 'text'
        ? engine.encode(conversation.text)
        : engine.encodeChat(conversation.messages);
    const piece = ids.slice(0, Math.min(pieceTokens, left + 1));
    if (piece.length < 2) continue;
    pieces.push(piece);
    left -= piece.length - 1;
  }
  return pieces;
}

/** Log-softmax rows of the full-precision artefact, kept in `file`: a later run need not compute them again. */
export async function referenceIn(file, folder, pieces) {
  if (!existsSync(file)) {
    const engine = await openEngine(folder);
    const writing = await open(`${file}.part`, 'w');
    for (const piece of pieces) {
      const { logProbs, top1, rows } = await engine.score(piece, { withRows: true });
      for (const part of [logProbs, top1, rows]) await writing.write(new Uint8Array(part.buffer));
    }
    await writing.close();
    await engine.close();
    await rename(`${file}.part`, file);
  }
  return file;
}

/** Perplexities, mean KL(full || artefact) in nats with its standard error, and top-1 agreement on the pieces. */
export async function judge(folder, pieces, referenceFile) {
  const engine = await openEngine(folder);
  const reading = await open(referenceFile, 'r');
  const read = async (Type, length) => {
    const values = new Type(length);
    await reading.read(new Uint8Array(values.buffer), 0, values.byteLength, null);
    return values;
  };
  const sum = { tokens: 0, nll: 0, fullNll: 0, kl: 0, squaredKl: 0, agreed: 0 };
  for (const piece of pieces) {
    const count = piece.length - 1;
    const { vocabSize } = engine.info;
    const full = {
      logProbs: await read(Float32Array, count),
      top1: await read(Int32Array, count),
      rows: await read(Float32Array, count * vocabSize),
    };
    const scored = await engine.score(piece, { withRows: true });
    for (let i = 0; i < count; i++) {
      const [from, to] = [i * vocabSize, (i + 1) * vocabSize];
      const kl = klDivergenceSum(full.rows.subarray(from, to), scored.rows.subarray(from, to));
      sum.kl += kl;
      sum.squaredKl += kl * kl;
      sum.nll -= scored.logProbs[i];
      sum.fullNll -= full.logProbs[i];
      sum.agreed += Number(scored.top1[i] === full.top1[i]);
    }
    sum.tokens += count;
  }
  await reading.close();
  await engine.close();
  const { tokens } = sum;
  const kl = sum.kl / tokens;
  return {
    tokens,
    nll: sum.nll / tokens,
    fullNll: sum.fullNll / tokens,
    kl,
    klError: Math.sqrt(Math.max(0, sum.squaredKl / tokens - kl * kl) / tokens),
    agreement: sum.agreed / tokens,
  };
}

/** `use` on a copy of an artefact whose kernels do not round activations: for comparing with papers and PyTorch. */
export async function withFloatActivations(folder, use) {
  const copy = `${folder}-f32`;
  await cp(folder, copy, { recursive: true });
  try {
    const file = join(copy, JSON.parse(await readFile(join(copy, 'edgedesk.json'), 'utf8')).model);
    const model = fromBinary(onnx.ModelProtoSchema, await readFile(file));
    for (const { attribute } of model.graph.node) {
      for (const one of attribute) if (one.name === 'accuracy_level') one.i = 1n;
    }
    await writeFile(file, toBinary(onnx.ModelProtoSchema, model));
    return await use(copy);
  } finally {
    await rm(copy, { recursive: true });
  }
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
