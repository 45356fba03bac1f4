/**
 * Bounds on data rows, which are untrusted: far above every public set in use, low enough that a hostile or mislabelled
 * file ends in a sentence instead of exhausted memory.
 */
export const rowLimits = {
  /** UTF-16 units of a line. The longest public row (a WikiText article) has 75 thousand. */
  lineCharacters: 8 * 1024 * 1024,
  /** Of a message, passage or document. */
  textCharacters: 4 * 1024 * 1024,
  /** Of a label, id, title or source name. */
  nameCharacters: 1024,
  /** Messages of a conversation; public dialogues end below 60. */
  messages: 1024,
  /** Passages of a grounded row; public rows have up to 17. */
  passages: 256,
  /** Accepted answers, gold ids, relevant documents, entities. */
  listed: 4096,
} as const;
