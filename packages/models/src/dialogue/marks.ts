/** What the agent's reply asks the program around it to do; it stands at the start of the message. */
export type ReplyMark = 'no_answer' | 'hand_off' | 'tool_call';

export interface ToolCall {
  readonly name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface MarkedReply {
  readonly mark: ReplyMark | null;
  /** What the customer reads: the reply without its mark. */
  readonly text: string;
  /** Only with mark `tool_call`; absent when the call is cut off or is not readable JSON. */
  readonly toolCall?: ToolCall;
}

/** A longer call is the model running away, not a request. */
const maxToolCallCharacters = 64 * 1024;

const openTool = '<tool_call>';
const closeTool = '</tool_call>';

/** Splits a whole assistant message into its mark and its text. Never throws: the message is a model's. */
export function parseMarks(reply: string): MarkedReply {
  const body = reply.trimStart();
  for (const mark of ['no_answer', 'hand_off'] as const) {
    const tag = `<${mark}/>`;
    if (body.startsWith(tag)) return { mark, text: body.slice(tag.length).trim() };
  }
  if (!body.startsWith(openTool)) return { mark: null, text: reply.trim() };

  const end = body.indexOf(closeTool, openTool.length);
  if (end < 0) return { mark: 'tool_call', text: '' };
  const text = body.slice(end + closeTool.length).trim();
  const toolCall = parseToolCall(body.slice(openTool.length, end));
  return toolCall === null ? { mark: 'tool_call', text } : { mark: 'tool_call', text, toolCall };
}

function parseToolCall(json: string): ToolCall | null {
  if (json.length > maxToolCallCharacters) return null;
  let call: unknown;
  try {
    call = JSON.parse(json);
  } catch {
    return null;
  }
  if (!isRecord(call) || typeof call['name'] !== 'string' || call['name'] === '') return null;
  const args = call['arguments'] ?? {};
  return isRecord(args) ? { name: call['name'], arguments: args } : null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
