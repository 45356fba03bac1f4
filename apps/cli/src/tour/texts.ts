import type { Language } from '../terminal/language.js';

export interface TourTexts {
  readonly intro: string;
  readonly compressing: (name: string) => string;
  readonly calibrating: string;
  readonly evaluating: string;
  readonly measuring: (name: string) => string;
  readonly report: (html: string, json: string) => string;
  readonly offer: string;
  /** `system`: the business and its passages. */
  readonly shop: (system: string) => string;
  readonly next: (folder: string) => string;
}

export const tourTexts: Readonly<Record<Language, TourTexts>> = {
  en: {
    intro:
      'EdgeDesk compresses its own small model to INT8 and INT4, measures what was lost, and offers a chat. ' +
      'This takes three to five minutes.',
    compressing: (name) => `Compressing to ${name}`,
    calibrating: 'Timing a few rows',
    evaluating: 'Evaluating',
    measuring: (name) => `Measuring the speed of ${name}`,
    report: (html, json) => `The report with plots is ${html}; the numbers are in ${json}.`,
    offer: 'Chat with the INT4 model now? [Y/n] ',
    shop: (system) => `The model answers from these passages; ask about them.\n\n${system}\n`,
    next: (folder) =>
      `Chat later:      npx edgedesk chat ${folder}\nIn the browser:  npx edgedesk serve ${folder}`,
  },
  zh: {
    intro:
      'EdgeDesk 将把自带的小模型压缩为 INT8 和 INT4，测量损失了多少质量，然后可以直接对话。大约需要三到五分钟。',
    compressing: (name) => `压缩为 ${name}`,
    calibrating: '试测几条样本',
    evaluating: '评测',
    measuring: (name) => `测量 ${name} 的速度`,
    report: (html, json) => `带图表的报告：${html}；数据：${json}。`,
    offer: '现在与 INT4 模型对话吗？[Y/n] ',
    shop: (system) => `模型将根据下面的资料回答，可以就此提问。\n\n${system}\n`,
    next: (folder) => `以后对话：    npx edgedesk chat ${folder}\n在浏览器里：  npx edgedesk serve ${folder}`,
  },
};
