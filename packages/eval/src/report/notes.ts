import type { Language } from '@edgedesk/models';
import { z } from 'zod';

/** What a reader must know about the figures of a file. */
export const noteSchema = z.discriminatedUnion('code', [
  /** Retrieval rows measure a search index, not a language model. */
  z.object({ code: z.literal('retrievalSkipped') }),
  z.object({ code: z.literal('rowsTooLong'), rows: z.int(), contextLength: z.int() }),
  z.object({ code: z.literal('rowsCut'), rows: z.int(), contextLength: z.int() }),
  /** Perplexities and distributions of different tokenizers cannot be set against each other. */
  z.object({ code: z.literal('otherTokens') }),
]);
export type Note = z.output<typeof noteSchema>;

/** `note` as a sentence. */
export function noteText(note: Note, lang: Language): string {
  const zh = lang === 'zh';
  switch (note.code) {
    case 'retrievalSkipped':
      return zh
        ? '检索数据衡量的是搜索索引而不是语言模型，已跳过。'
        : 'Retrieval rows measure a search index, not a language model: skipped.';
    case 'rowsTooLong':
      return zh
        ? `${note.rows} 条样本放不进 ${note.contextLength} 个词元的上下文，未计入。`
        : `${note.rows} rows do not fit into ${note.contextLength} tokens: left out.`;
    case 'rowsCut':
      return zh
        ? `${note.rows} 条样本为放进 ${note.contextLength} 个词元的上下文而被裁短。`
        : `${note.rows} rows were cut to fit into ${note.contextLength} tokens.`;
    case 'otherTokens':
      return zh
        ? '模型与基准的分词不同：不计算 KL 散度与一致率，困惑度不可比。'
        : 'Model and base split text into different tokens: no KL divergence, no agreement, and perplexities do not compare.';
  }
}
