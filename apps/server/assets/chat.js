// The built-in chat page: talks to this server's own API and to nothing else.
/* global document */
const texts = {
  en: {
    other: '中文',
    reset: 'New chat',
    send: 'Send',
    stop: 'Stop',
    input: 'Your message',
    log: 'Conversation',
    greeting: 'Ask this model something. It runs on this machine; nothing leaves it.',
    examples: [
      'How can I return an item?',
      'My order has not arrived yet.',
      'I want to change my delivery address.',
    ],
    thinking: 'Writing…',
    stopped: 'Stopped.',
    done: (tokens, seconds) => `${tokens} tokens in ${seconds} s`,
    cut: 'The reply reached its length limit.',
    key: 'API key',
    save: 'Use key',
    keyNeeded: 'This server asks for an API key.',
    lost: 'The server cannot be reached.',
    marks: { no_answer: 'not in the sources', hand_off: 'hand over to a person', tool_call: 'tool call' },
  },
  zh: {
    other: 'English',
    reset: '新对话',
    send: '发送',
    stop: '停止',
    input: '输入消息',
    log: '对话',
    greeting: '向模型提问吧。它就在这台机器上运行，数据不会离开本机。',
    examples: ['怎么申请退货？', '我的订单还没有送到。', '我想修改收货地址。'],
    thinking: '正在回复……',
    stopped: '已停止。',
    done: (tokens, seconds) => `${tokens} 个词元，用时 ${seconds} 秒`,
    cut: '回复达到了长度上限。',
    key: 'API 密钥',
    save: '使用密钥',
    keyNeeded: '服务器需要 API 密钥。',
    lost: '无法连接服务器。',
    marks: { no_answer: '资料中没有答案', hand_off: '转接人工', tool_call: '调用工具' },
  },
};

const element = (id) => document.getElementById(id);
const log = element('log');
const input = element('input');
const status = element('status');

let language = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
let messages = [];
let running; // AbortController of the reply being written
let apiKey = '';

function showTexts() {
  const text = texts[language];
  document.documentElement.lang = language;
  element('language').textContent = text.other;
  element('language').lang = language === 'zh' ? 'en' : 'zh';
  element('reset').textContent = text.reset;
  element('send').textContent = text.send;
  element('stop').textContent = text.stop;
  element('input-label').textContent = text.input;
  input.placeholder = text.input;
  element('greeting').textContent = text.greeting;
  element('key-label').textContent = text.key;
  element('key-save').textContent = text.save;
  log.setAttribute('aria-label', text.log);
  element('examples').replaceChildren(
    ...text.examples.map((example) => {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = example;
      button.addEventListener('click', () => void ask(example));
      return button;
    }),
  );
}

/** Shows a reply: a mark at its start becomes a label, the rest is plain text. */
function showReply(bubble, reply) {
  const mark = /^<(no_answer|hand_off)\/>\s*|^<(tool_call)>/.exec(reply);
  if (mark === null) {
    // Part of a mark that is still arriving is not shown.
    bubble.textContent = /^<[a-z_]{0,10}\/?$/.test(reply) ? '' : reply;
    return;
  }
  const label = document.createElement('span');
  label.className = 'mark';
  label.textContent = texts[language].marks[mark[1] ?? mark[2]];
  bubble.replaceChildren(label, reply.slice(mark[0].length).replace('</tool_call>', ''));
}

function addBubble(role, text) {
  element('welcome').hidden = true;
  const bubble = document.createElement('div');
  bubble.className = `message ${role}`;
  bubble.textContent = text;
  log.append(bubble);
  bubble.scrollIntoView({ block: 'end' });
  return bubble;
}

/** Events of a server-sent stream, as parsed JSON. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    buffer += value;
    const parts = buffer.split('\n\n');
    buffer = parts.pop();
    for (const part of parts) {
      const data = part.replace(/^data: /, '');
      if (data === '[DONE]') return;
      yield JSON.parse(data);
    }
  }
}

/** The events of the reply. A conversation that has outgrown the model's context loses its oldest exchange first. */
async function request(conversation, signal) {
  for (;;) {
    const response = await fetch('/v1/chat/completions', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(apiKey === '' ? {} : { authorization: `Bearer ${apiKey}` }),
      },
      body: JSON.stringify({ messages: conversation, stream: true, stream_options: { include_usage: true } }),
      signal,
    });
    if (response.ok) return events(response);
    if (response.status === 401) {
      element('key-form').hidden = false;
      throw new Error(texts[language].keyNeeded);
    }
    const failure = (await response.json().catch(() => undefined))?.error;
    if (failure?.code !== 'context_length_exceeded' || conversation.length < 3) {
      throw new Error(failure?.message ?? `HTTP ${response.status}`);
    }
    conversation.splice(0, 2);
  }
}

async function ask(question) {
  if (running !== undefined || question.trim() === '') return;
  const controller = new AbortController();
  setRunning(controller);
  input.value = '';
  addBubble('user', question);
  const bubble = addBubble('assistant waiting', '');
  const asked = [...messages, { role: 'user', content: question }];
  const start = performance.now();
  status.textContent = texts[language].thinking;
  let reply = '';
  let outcome = '';
  let failure;
  try {
    for await (const event of await request(asked, controller.signal)) {
      if (event.error !== undefined) throw new Error(event.error.message);
      reply += event.choices[0]?.delta.content ?? '';
      showReply(bubble, reply);
      bubble.scrollIntoView({ block: 'end' });
      if (event.choices[0]?.finish_reason === 'length') outcome = texts[language].cut;
      const tokens = event.usage?.completion_tokens;
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      if (tokens !== undefined) outcome = `${texts[language].done(tokens, seconds)} ${outcome}`;
    }
  } catch (error) {
    if (controller.signal.aborted) outcome = texts[language].stopped;
    else failure = error instanceof TypeError ? texts[language].lost : error.message;
  }
  if (running !== controller) return; // A new chat has begun.
  bubble.classList.remove('waiting');
  status.textContent = outcome;
  if (reply === '') bubble.remove();
  else messages = [...asked, { role: 'assistant', content: reply }];
  setRunning(undefined);
  if (failure === undefined) return;
  addBubble('failure', failure).role = 'alert';
  input.value = question;
  if (!element('key-form').hidden) element('key').focus();
}

function setRunning(controller) {
  running = controller;
  // Read aloud once, when it is whole.
  log.setAttribute('aria-busy', String(controller !== undefined));
  element('send').hidden = controller !== undefined;
  element('stop').hidden = controller === undefined;
  for (const button of element('examples').children) button.disabled = controller !== undefined;
  if (controller === undefined) input.focus();
}

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void ask(input.value);
});
input.addEventListener('keydown', (event) => {
  // While an input method is composing, Enter picks a candidate.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void ask(input.value);
});
element('stop').addEventListener('click', () => running?.abort());
element('reset').addEventListener('click', () => {
  running?.abort();
  setRunning(undefined);
  messages = [];
  log.replaceChildren();
  status.textContent = '';
  element('welcome').hidden = false;
});
element('language').addEventListener('click', () => {
  language = language === 'zh' ? 'en' : 'zh';
  showTexts();
});
element('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  apiKey = element('key').value;
  element('key-form').hidden = true;
  input.focus();
});

showTexts();
const health = await fetch('/health').then(
  (response) => response.json(),
  () => undefined,
);
element('model').textContent = health?.model ?? '';
input.focus();
