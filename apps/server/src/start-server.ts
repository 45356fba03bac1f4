import type { AddressInfo } from 'node:net';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { RuntimeFailure } from '@edgedesk/tensor';
import type { Engine } from '@edgedesk/runtime';
import { getRequestListener } from '@hono/node-server';
import { createApp } from './app.js';
import type { AppOptions } from './app.js';
import { limits } from './limits.js';
import { ApiError } from './openai/api-error.js';

export interface ServerOptions extends AppOptions {
  /** 0 takes any free port. @default 8080 */
  readonly port?: number;
}

export interface RunningServer {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  readonly port: number;
  /**
   * Refuses new requests at once, lets running replies finish for `deadlineMs` and then aborts them. The engine stays
   * open: it belongs to the caller.
   */
  stop(deadlineMs?: number): Promise<void>;
}

/** Listens on `host` (loopback unless told otherwise) and serves `engine`. */
export async function startServer(engine: Engine, options: ServerOptions = {}): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 8080 } = options;
  const app = createApp(engine, { ...options, host });
  const listener = getRequestListener(app.fetch);
  const server = createServer(
    { requestTimeout: limits.bodyMs, headersTimeout: limits.headersMs },
    (request, response) => void listener(request, response),
  );
  server.maxConnections = limits.connections;
  await listen(server, host, port);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    stop: async (deadlineMs = limits.stopMs) => {
      app.admission.stop();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const deadline = setTimeout(() => {
        app.abortAll(new ApiError(503, 'server_error', 'The server stopped.', { code: 'stopping' }));
        // What has been aborted gets a moment to be told so.
        setTimeout(() => server.closeAllConnections(), 200).unref();
      }, deadlineMs);
      // A kept-alive connection turns idle when its reply ends; Node would hold it for its keep-alive time.
      const sweep = setInterval(() => server.closeIdleConnections(), 50);
      await closed;
      clearInterval(sweep);
      clearTimeout(deadline);
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenFailure(error, host, port)));
    server.listen(port, host, resolve);
  });
}

function listenFailure(cause: NodeJS.ErrnoException, host: string, port: number): RuntimeFailure {
  const where = `${host}:${port}`;
  switch (cause.code) {
    case 'EADDRINUSE':
      return new RuntimeFailure('the port is in use', { where, fix: 'choose another with --port', cause });
    case 'EACCES':
      return new RuntimeFailure('this user may not use the port', {
        where,
        fix: 'choose one above 1023',
        cause,
      });
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new RuntimeFailure('this machine has no such address', {
        where,
        fix: 'choose another --host',
        cause,
      });
    default:
      return new RuntimeFailure(`cannot listen (${cause.code ?? cause.message})`, { where, cause });
  }
}
