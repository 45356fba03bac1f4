/** The two languages EdgeDesk speaks. */
export const languages = ['en', 'zh'] as const;
export type Language = (typeof languages)[number];

/** Enough to tell the languages apart; longer texts are judged by their beginning. */
const judgedCharacters = 4096;

const hanCharacter = /\p{Script=Han}/gu;
const latinWord = /\p{Script=Latin}+/gu;

/**
 * The language most of `text` is in. A Han character weighs as much as a Latin word, so a Chinese sentence full of
 * product names stays Chinese; a text with neither is English.
 */
export function detectLanguage(text: string): Language {
  const head = text.slice(0, judgedCharacters);
  const han = head.match(hanCharacter)?.length ?? 0;
  const latin = head.match(latinWord)?.length ?? 0;
  return han > 0 && han >= latin ? 'zh' : 'en';
}

/** The language a tag such as `zh-CN` or `en_US` names; detected from `text` when the tag is absent or another. */
export function resolveLanguage(tag: string | undefined, text: string): Language {
  const primary = tag?.toLowerCase().split(/[-_]/, 1)[0];
  return languages.find((language) => language === primary) ?? detectLanguage(text);
}
