// A chat with a compressed model in ten lines. Build first: npm run build && npx edgedesk compress models/edgedesk-base --bits 4 --out out/int4
//   node examples/chat.mjs out/int4 "怎么申请退货？"
import { openEngine } from '@edgedesk/runtime/node';

const [folder = 'out/edgedesk-base-int4', question = 'How can I return an item?'] = process.argv.slice(2);
const engine = await openEngine(folder);
for await (const { text } of engine.chat([{ role: 'user', content: question }], { maxNewTokens: 128 })) {
  process.stdout.write(text);
}
process.stdout.write('\n');
await engine.close();
