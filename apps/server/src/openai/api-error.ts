import { EdgeDeskError } from '@edgedesk/tensor';

export interface ApiErrorDetails {
  /** The request field at fault, as a dotted path. */
  readonly param?: string;
  readonly code?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer other than 200, in the form that OpenAI's clients understand. */
export class ApiError extends Error {
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 405 | 413 | 415 | 429 | 500 | 503 | 504,
    readonly type: string,
    message: string,
    readonly details: ApiErrorDetails = {},
  ) {
    super(message);
    this.name = 'ApiError';
  }

  get body(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    const { param, code } = this.details;
    return { error: { message: this.message, type: this.type, param: param ?? null, code: code ?? null } };
  }

  response(): Response {
    return Response.json(this.body, { status: this.status, headers: this.details.headers ?? {} });
  }
}

export function badRequest(message: string, param?: string, code?: string): ApiError {
  return new ApiError(400, 'invalid_request_error', message, {
    ...(param === undefined ? {} : { param }),
    ...(code === undefined ? {} : { code }),
  });
}

/**
 * What the client may read about a failure. A recipe error is the request's fault; the place of any other failure
 * (a path on this machine) stays in the log. OpenAI's client would repeat a 500, which cannot help: the header says so.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  const headers = { 'x-should-retry': 'false' };
  if (EdgeDeskError.isInstance(error)) {
    if (error.code === 'RECIPE') return badRequest(error.sentence);
    return new ApiError(500, 'server_error', `${error.message}.`, {
      code: error.code.toLowerCase(),
      headers,
    });
  }
  return new ApiError(500, 'server_error', 'The server failed; its log says more.', { headers });
}
