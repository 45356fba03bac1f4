export * from './chat-texts.js';
export * from './conversation.js';
export * from './language.js';
export * from './limits.js';
export * from './lines.js';
export * from './marks.js';
export * from './parse-row.js';
export * from './row.js';
