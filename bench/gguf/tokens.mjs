// Writes the token ids that `edgedesk compress` calibrates on, and others to judge by, for programs that take no text:
// node bench/gguf/tokens.mjs CHECKPOINT CALIBRATION_FILE TOKENS JUDGED_FILE TOKENS OUT.json
import { writeFileSync } from 'node:fs';
import { readCalibration } from '@edgedesk/compress/node';
import { openCheckpoint } from '@edgedesk/models/node';

const [checkpoint, calibrationFile, calibrationTokens, judgedFile, judgedTokens, out] = process.argv.slice(2);
const { tokenizer, config, weights } = await openCheckpoint(checkpoint);
const idsOf = async (file, tokens) => {
  const { ids } = await readCalibration({ files: [file], tokens: Number(tokens) }, tokenizer, config);
  return [...ids];
};
writeFileSync(
  out,
  JSON.stringify({
    calibration: await idsOf(calibrationFile, calibrationTokens),
    judged: await idsOf(judgedFile, judgedTokens),
  }),
);
await weights.close();
