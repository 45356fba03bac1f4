import type { Language } from './language.js';

export const dialogueRoles = ['system', 'user', 'assistant'] as const;

/** One message of a conversation. */
export interface DialogueMessage {
  readonly role: (typeof dialogueRoles)[number];
  readonly content: string;
}

/** A piece of knowledge that an answer may rest on. */
export interface Passage {
  readonly id?: string | undefined;
  readonly title?: string | undefined;
  readonly text: string;
}

/** The intent label of messages that no intent fits. */
export const outOfScopeIntent = 'oos';

export interface IntentRow {
  readonly kind: 'intent';
  readonly text: string;
  /** `outOfScopeIntent` when no intent fits. */
  readonly intent: string;
  readonly lang: Language;
}

/** User and assistant alternate behind an optional system message; the assistant has the last word. */
export interface ChatRow {
  readonly kind: 'chat';
  readonly messages: readonly DialogueMessage[];
  readonly intent?: string | undefined;
  readonly lang: Language;
  readonly source?: string | undefined;
}

export interface GroundedRow {
  readonly kind: 'grounded';
  readonly question: string;
  readonly context: readonly Passage[];
  /** null when the context does not answer the question. */
  readonly answer: string | null;
  /** Other accepted answers. */
  readonly answers: readonly string[];
  /** Earlier messages, oldest first. */
  readonly history: readonly DialogueMessage[];
  /** Ids of the passages that carry the answer, when known. */
  readonly goldIds: readonly string[];
  readonly lang: Language;
}

/** A document of a retrieval corpus. */
export interface RetrievalDocumentRow {
  readonly kind: 'retrieval';
  readonly part: 'document';
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly lang: Language;
}

/** A query with the ids of the documents that answer it. */
export interface RetrievalQueryRow {
  readonly kind: 'retrieval';
  readonly part: 'query';
  readonly id: string;
  readonly text: string;
  readonly relevant: readonly string[];
  readonly history: readonly DialogueMessage[];
  readonly entities: readonly string[];
  readonly scenario?: string | undefined;
  readonly lang: Language;
}

export type RetrievalRow = RetrievalDocumentRow | RetrievalQueryRow;

/** A document, or a section of one, without turns. */
export interface TextRow {
  readonly kind: 'text';
  readonly text: string;
  readonly lang: Language;
  readonly source?: string | undefined;
}

/** A row of any of the five formats. */
export type Row = IntentRow | ChatRow | GroundedRow | RetrievalRow | TextRow;
export type RowKind = Row['kind'];
