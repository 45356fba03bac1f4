import type { Passage } from '@edgedesk/models';

/** Characters of a passage: about 150 to 250 tokens in either language. */
const passageLength = { zh: 260, en: 800 } as const;
const shortest = { zh: 40, en: 120 } as const;

/** A sentence with its end; line ends count as ends. */
const sentence = /[^。！？!?\n.]+(?:\.(?!\s)[^。！？!?\n.]*)*[。！？!?.]*["”」』）)]*\s*/gu;

export function sentencesOf(text: string): string[] {
  return (text.match(sentence) ?? []).map((part) => part.trim()).filter((part) => part !== '');
}

/**
 * Cuts a document into passages at paragraphs and sentences. A line of its own above a paragraph, short and without an
 * end mark, is the title of what follows.
 */
export function passagesOf(text: string, lang: 'zh' | 'en'): Passage[] {
  const passages: Passage[] = [];
  let title: string | undefined;
  let body = '';
  const close = () => {
    if (body.length >= shortest[lang])
      passages.push({ ...(title === undefined ? {} : { title }), text: body });
    body = '';
  };
  for (const paragraph of text.split(/\n+/)) {
    const line = paragraph.trim();
    if (line === '') continue;
    if (line.length <= 40 && !/[。！？!?.:：;；,，]$/u.test(line) && !/^\d/.test(line)) {
      close();
      title = line;
      continue;
    }
    for (const part of sentencesOf(line)) {
      if (part.length > passageLength[lang]) continue;
      if (body.length + part.length > passageLength[lang]) close();
      body += (body === '' || lang === 'zh' ? '' : ' ') + part;
    }
  }
  close();
  return passages;
}
