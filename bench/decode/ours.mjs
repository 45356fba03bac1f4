// One artefact in a process of its own: node bench/decode/ours.mjs FOLDER PROMPT NEW REPEATS THREADS -> JSON
import process from 'node:process';
import { openEngine } from '@edgedesk/runtime/node';

const [folder, prompt, fresh, repeats, threads] = process.argv
  .slice(2)
  .map((x, i) => (i === 0 ? x : Number(x)));
const engine = await openEngine(folder, { threads });
const runs = [];
for (let repeat = 0; repeat <= repeats; repeat++) {
  const ids = Array.from(
    { length: prompt },
    (_, i) => 3 + ((i * 7 + repeat * 1013) % (engine.info.vocabSize - 3)),
  );
  let finish;
  for await (const chunk of engine.generate(ids, {
    maxNewTokens: fresh,
    ignoreEnd: true,
    speculation: 'off',
  })) {
    finish = chunk.finish ?? finish;
  }
  // The first warms up.
  if (repeat > 0) {
    runs.push({
      ttftMs: finish.timeToFirstTokenMs,
      prefill: (1000 * prompt) / finish.timeToFirstTokenMs,
      decode: (1000 * (fresh - 1)) / finish.decodeMs,
    });
  }
}
await engine.close();
// maxRSS is in kilobytes.
console.log(JSON.stringify({ runs, peakRssBytes: process.resourceUsage().maxRSS * 1024 }));
