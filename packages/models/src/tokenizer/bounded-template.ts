import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

/** Public templates take some 60 steps a message; as many as this are a second or two of work. */
const maxSteps = 2 ** 18;
/** Templates count messages and tools. */
const maxRange = 4096;

/** The part of the library's interpreter that is used here; its package resolves to no types of it. */
interface JinjaInterpreter {
  evaluate(statement: unknown, scope: unknown): unknown;
  run(program: unknown): { readonly value: unknown };
}
interface JinjaScope {
  set(name: string, value: unknown): unknown;
}

/** A Jinja template of untrusted origin: the library's own `Template` with a bound on the work of one rendering. */
export class BoundedTemplate {
  private readonly program: unknown;

  /** Throws the library's SyntaxError when `source` cannot be parsed. */
  constructor(source: string) {
    this.program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  }

  /** `values` are the template's variables. Throws when it raises an exception or does not end. */
  render(values: Readonly<Record<string, unknown>>): string {
    const scope: JinjaScope = new Environment();
    for (const [name, value] of Object.entries({ ...globals, ...values })) scope.set(name, value);
    const interpreter: JinjaInterpreter = new Interpreter(scope);
    const evaluate = interpreter.evaluate.bind(interpreter);
    let steps = 0;
    interpreter.evaluate = (statement, inner) => {
      if (++steps > maxSteps) throw new Error(`it takes more than ${maxSteps} steps`);
      return evaluate(statement, inner);
    };
    return String(interpreter.run(this.program).value);
  }
}

/** What Jinja and transformers put at a template's disposal. */
const globals: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  raise_exception: (message: unknown) => {
    throw new Error(String(message));
  },
  range,
  strftime_now: (format: string) => strftime(new Date(), format),
};

function range(first: number, end?: number, step = 1): number[] {
  const [start, stop] = end === undefined ? [0, first] : [first, end];
  const length = Math.max(0, Math.ceil((stop - start) / step));
  if (!(length <= maxRange)) throw new Error(`range() of ${length} numbers`);
  return Array.from({ length }, (_, i) => start + i * step);
}

/** The directives that chat templates use, in English as transformers writes them. */
function strftime(date: Date, format: string): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  const month = (style: 'long' | 'short'): string =>
    new Intl.DateTimeFormat('en', { month: style }).format(date);
  const directives: Readonly<Record<string, () => string>> = {
    '%Y': () => String(date.getFullYear()),
    '%m': () => two(date.getMonth() + 1),
    '%d': () => two(date.getDate()),
    '%b': () => month('short'),
    '%B': () => month('long'),
    '%H': () => two(date.getHours()),
    '%M': () => two(date.getMinutes()),
    '%%': () => '%',
  };
  return format.replace(/%[YmdbBHM%]/g, (directive) => directives[directive]!());
}
