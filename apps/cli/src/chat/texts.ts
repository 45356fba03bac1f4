import type { Language } from '../terminal/language.js';

export interface ChatTexts {
  readonly intro: (model: string) => string;
  readonly you: string;
  readonly help: string;
  readonly forgotten: string;
  readonly systemSet: string;
  readonly systemRemoved: string;
  readonly unknown: (command: string) => string;
  readonly stopped: string;
  readonly cut: string;
  readonly bye: string;
}

export const chatTexts: Readonly<Record<Language, ChatTexts>> = {
  en: {
    intro: (model) => `Chat with ${model}, which runs on this machine. /help shows the commands, /quit ends.`,
    you: 'You: ',
    help: [
      '/help         this list',
      '/reset        forget the conversation',
      '/system TEXT  start again with this instruction to the model (without TEXT: with none)',
      '/quit         end (so does Ctrl-D; Ctrl-C stops a reply)',
    ].join('\n'),
    forgotten: 'The conversation is forgotten.',
    systemSet: 'The instruction is set and the conversation starts again.',
    systemRemoved: 'There is no instruction now and the conversation starts again.',
    unknown: (command) => `${command} is no command; /help shows them.`,
    stopped: '[stopped]',
    cut: '[length limit]',
    bye: 'Bye.',
  },
  zh: {
    intro: (model) => `正在与 ${model} 对话，模型就在这台机器上运行。/help 查看命令，/quit 退出。`,
    you: '您：',
    help: [
      '/help        显示命令',
      '/reset       忘掉当前对话',
      '/system 文字  用这条指令重新开始对话（不写文字则去掉指令）',
      '/quit        退出（Ctrl-D 也可以；Ctrl-C 中止回复）',
    ].join('\n'),
    forgotten: '对话已清空。',
    systemSet: '指令已设置，对话重新开始。',
    systemRemoved: '指令已去掉，对话重新开始。',
    unknown: (command) => `没有 ${command} 这个命令，输入 /help 查看命令。`,
    stopped: '【已中止】',
    cut: '【达到长度上限】',
    bye: '再见。',
  },
};
