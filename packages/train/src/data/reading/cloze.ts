import type { Draws } from '../../random/draws.js';

/** A question and the span of the passage that answers it. */
export interface Cloze {
  readonly question: string;
  readonly answer: string;
}

interface SpanPattern {
  readonly find: RegExp;
  /** What asks for the span, in its place. */
  readonly ask: (span: string) => string;
}

/** Spans that questions ask for, by language: the type of a span decides its question word. */
const patterns: Readonly<Record<'zh' | 'en', readonly SpanPattern[]>> = {
  zh: [
    {
      find: /(?:公元前?)?\d{3,4}年(?:\d{1,2}月(?:\d{1,2}日)?)?/gu,
      ask: (span) => (span.includes('日') ? '哪一天' : span.includes('月') ? '什么时候' : '哪一年'),
    },
    { find: /\d{1,2}月\d{1,2}日/gu, ask: () => '几月几日' },
    {
      find: /\d[\d,.]*(?:万|亿|多|余)?(?:平方公里|公里|平方米|千米|英里|米|人|元|美元|个月|个|名|次|岁|天|小时|分钟|座|部|集|位|家|种|票|户|层|期|届|辆|艘|人次|％|%)/gu,
      ask: (span) => `多少${/[^\d,.万亿多余]+$/u.exec(span)?.[0]?.replace(/[％%]/, '百分比') ?? ''}`,
    },
    { find: /《[^》]{1,20}》/gu, ask: () => '哪部作品' },
    { find: /[“「『][^”」』]{2,20}[”」』]/gu, ask: () => '什么' },
    { find: /(?<=[\p{Script=Han}])[A-Z][\w.-]*(?: [A-Z][\w.-]*)*/gu, ask: () => '什么' },
    { find: /(?<=[是为有由在于以被到与和])\p{Script=Han}{3,10}(?=[，。；的])/gu, ask: () => '什么' },
    { find: /(?<=位于|来自|前往|出生于|毕业于|任职于|成立于)\p{Script=Han}{2,12}/gu, ask: () => '哪里' },
  ],
  en: [
    { find: /\b(?:1\d{3}|20[0-2]\d)\b/gu, ask: () => 'which year' },
    {
      find: /\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b(?: \d{1,2})?(?:,? \d{4})?/gu,
      ask: () => 'when',
    },
    { find: /\b\d[\d,.]*\d?(?= [a-z])/gu, ask: () => 'how many' },
    { find: /(?<=\s)[A-Z][\p{L}-]+(?: (?:of |the |and )?[A-Z][\p{L}-]+)*/gu, ask: () => 'who or what' },
    { find: /(?<=")[^"]{3,40}(?=")/gu, ask: () => 'what' },
    {
      find: /(?<=\b(?:the|a|an|click|select|called|named|using) )[a-z]+(?: [a-z]+){0,2}(?=[,.]| (?:in|on|of|for|to|and|is|are|was)\b)/gu,
      ask: () => 'what',
    },
  ],
};

/** Shortest and longest clause that makes a question, in characters. */
const clauseLength = { zh: [8, 60], en: [30, 180] } as const;
/** Share of words that a question drops, so that it cannot be matched letter by letter. */
const dropped = 0.12;

/**
 * A question that a sentence of `text` answers: one of its spans is asked for by a question word in its place (Lewis et
 * al. 2019, "Unsupervised question answering by cloze translation"). Null when no sentence has such a span.
 */
export function clozeOf(sentences: readonly string[], lang: 'zh' | 'en', draws: Draws): Cloze | null {
  for (const sentence of draws.shuffled(sentences)) {
    const [least, most] = clauseLength[lang];
    if (sentence.length < least) continue;
    const pattern = draws.pick(patterns[lang]);
    const spans = [...sentence.matchAll(pattern.find)];
    if (spans.length === 0) continue;
    const span = draws.pick(spans);
    const [start, end] = clauseAround(sentence, span.index, span.index + span[0].length, lang);
    const before = sentence.slice(start, span.index);
    const after = sentence.slice(span.index + span[0].length, end);
    if (before.length + after.length < least || before.length + after.length > most) continue;
    return { question: questionOf(before, pattern.ask(span[0]), after, lang, draws), answer: span[0] };
  }
  return null;
}

/** The clause of `sentence` that holds [from, to), without the marks at its ends. */
function clauseAround(sentence: string, from: number, to: number, lang: 'zh' | 'en'): [number, number] {
  const stops = (at: number) =>
    lang === 'zh'
      ? /[，；：。！？]/u.test(sentence[at]!)
      : /[;:.!?]/.test(sentence[at]!) && /^\s?$/.test(sentence.slice(at + 1, at + 2));
  let start = from;
  while (start > 0 && !stops(start - 1)) start--;
  let end = to;
  while (end < sentence.length && !stops(end)) end++;
  return [start, end];
}

function questionOf(before: string, ask: string, after: string, lang: 'zh' | 'en', draws: Draws): string {
  if (lang === 'zh') {
    const thin = (text: string) =>
      [...text].filter((char) => !/[的了，、“”「」]/u.test(char) || !draws.chance(4 * dropped)).join('');
    return `${thin(before)}${ask}${thin(after)}？`;
  }
  const thin = (text: string) =>
    text
      .split(/\s+/)
      .filter((word) => word !== '' && !(word.length < 5 && draws.chance(dropped)))
      .join(' ');
  // Half of the questions begin with the question word, as people ask.
  const parts = draws.chance(0.5) ? [ask, thin(before), thin(after)] : [thin(before), ask, thin(after)];
  const text = parts.filter((part) => part !== '').join(' ');
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}?`;
}
