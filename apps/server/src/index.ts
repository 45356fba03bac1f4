export { createApp } from './app.js';
export type { App, AppOptions } from './app.js';
export { isLoopback } from './guard/origin.js';
export { limits } from './limits.js';
export { startServer } from './start-server.js';
export type { RunningServer, ServerOptions } from './start-server.js';
