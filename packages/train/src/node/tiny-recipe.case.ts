import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const things = ['refund', 'invoice', 'delivery', 'password', 'warranty', 'voucher'];
const dinge = ['退款', '发票', '快递', '密码', '保修', '优惠券'];

/** Rows of every format that carries language, both languages, easily learned. */
function rows(): Record<string, object[]> {
  const chat = things.flatMap((thing, i) => [
    {
      messages: [
        { role: 'user', content: `Where is my ${thing}?` },
        { role: 'assistant', content: `Your ${thing} is on its way.` },
        { role: 'user', content: 'Thanks!' },
        { role: 'assistant', content: 'You are welcome.' },
      ],
      lang: 'en',
    },
    {
      messages: [
        { role: 'user', content: `我的${dinge[i]}在哪里？` },
        { role: 'assistant', content: `您的${dinge[i]}已经处理。` },
      ],
      lang: 'zh',
    },
  ]);
  const text = things.flatMap((thing, i) => [
    {
      text: `How a ${thing} works. ${`Every ${thing} is checked twice by our team. `.repeat(4)}`,
      lang: 'en',
    },
    { text: `关于${dinge[i]}。${`每一个${dinge[i]}都由我们的团队检查两次。`.repeat(4)}`, lang: 'zh' },
  ]);
  const grounded = things.map((thing, i) => ({
    question: `How long does the ${thing} take?`,
    context: [{ id: `p${i}`, title: thing, text: `The ${thing} takes ${i + 2} days.` }],
    answer: `${i + 2} days`,
    lang: 'en',
  }));
  const intent = things.map((thing) => ({ text: `My ${thing} please`, intent: thing, lang: 'en' }));
  return { chat, text, grounded, intent };
}

/** Data files and a recipe in a fresh folder. `changes` replaces lines of the recipe by their key. */
export async function tinyRecipe(changes: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'edgedesk-train-'));
  for (const [name, list] of Object.entries(rows())) {
    await writeFile(join(folder, `${name}.jsonl`), list.map((row) => `${JSON.stringify(row)}\n`).join(''));
  }
  const lines: Record<string, string> = {
    name: 'tiny',
    model:
      '{ hiddenSize: 32, intermediateSize: 64, layerCount: 2, headCount: 4, kvHeadCount: 2, contextLength: 128 }',
    tokenizer: '{ train: { vocabSize: 400 } }',
    sequence: '128',
    batch: '2',
    accumulate: '2',
    budget: '{ steps: 40 }',
    optimizer: '{ lr: 1.0e-2, average: 0.9 }',
    data: `
  - name: language
    share: 0.4
    sources: [{ files: [text.jsonl], weight: 1 }]
  - name: dialogue
    share: 0.6
    sources:
      - { name: chat, files: [chat.jsonl, intent.jsonl], weight: 2 }
      - { files: [grounded.jsonl], weight: 1, grounded: { distractors: 2, unanswerable: 0.3, variants: 3 } }
      - { files: [text.jsonl], weight: 1 }`,
    evaluation: '{ files: [chat.jsonl, text.jsonl], every: { steps: 10 } }',
    checkpoint: '{ every: { steps: 5 } }',
    ...changes,
  };
  const recipe = join(folder, 'recipe.yaml');
  await writeFile(
    recipe,
    Object.entries(lines)
      .filter(([, value]) => value !== '')
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(''),
  );
  return recipe;
}
