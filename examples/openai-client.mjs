// OpenAI's own client against a local model.
//   npx edgedesk serve out/edgedesk-base-int4     (in another terminal)
//   node examples/openai-client.mjs "How can I return an item?"
import OpenAI from 'openai';

const question = process.argv[2] ?? 'How can I return an item?';
const client = new OpenAI({
  baseURL: process.env.EDGEDESK_URL ?? 'http://127.0.0.1:8080/v1',
  apiKey: 'none',
});

const [model] = (await client.models.list()).data;
const stream = await client.chat.completions.create({
  model: model.id,
  messages: [{ role: 'user', content: question }],
  max_tokens: 128,
  stream: true,
});
for await (const event of stream) process.stdout.write(event.choices[0]?.delta.content ?? '');
process.stdout.write('\n');
