import type { OrtBackend, Session } from '@edgedesk/tensor';
import { encodeModel, Graph, tensor } from '@edgedesk/tensor';

/** A dense row-major matrix. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

type Form = 'c-atb' | 'c-abt' | 'ab' | '-ab' | 'abt';

const layouts: Readonly<Record<Form, { transA: 0 | 1; transB: 0 | 1; alpha: 1 | -1; hasC: boolean }>> = {
  'c-atb': { transA: 1, transB: 0, alpha: -1, hasC: true },
  'c-abt': { transA: 0, transB: 1, alpha: -1, hasC: true },
  ab: { transA: 0, transB: 0, alpha: 1, hasC: false },
  '-ab': { transA: 0, transB: 0, alpha: -1, hasC: false },
  abt: { transA: 0, transB: 1, alpha: 1, hasC: false },
};

/** Matrix products in f32 by ONNX Runtime's Gemm: one session a form, any size. `release` frees them. */
export class Gemm {
  private readonly sessions = new Map<Form, Promise<Session>>();

  constructor(
    private readonly backend: OrtBackend,
    private readonly threads: number,
  ) {}

  /**
   * The product in `form`'s words: `c-atb` is c - a^T b. `c`: `[m, n]`, present in the forms that name it. The result is
   * a fresh matrix.
   */
  async multiply(form: Form, a: Matrix, b: Matrix, c?: Matrix): Promise<Matrix> {
    const { transA, transB, hasC } = layouts[form];
    const session = await this.session(form);
    const { y } = await session.run({
      a: tensor.f32(a.data, [a.rows, a.columns]),
      b: tensor.f32(b.data, [b.rows, b.columns]),
      ...(hasC && c ? { c: tensor.f32(c.data, [c.rows, c.columns]) } : {}),
    });
    return {
      rows: transA ? a.columns : a.rows,
      columns: transB ? b.rows : b.columns,
      data: y!.data as Float32Array,
    };
  }

  async release(): Promise<void> {
    const sessions = await Promise.all(this.sessions.values());
    this.sessions.clear();
    await Promise.all(sessions.map((session) => session.release()));
  }

  private session(form: Form): Promise<Session> {
    const known = this.sessions.get(form);
    if (known) return known;
    const { transA, transB, alpha, hasC } = layouts[form];
    const g = new Graph();
    const a = g.input('a', 'f32', transA ? ['k', 'm'] : ['m', 'k']);
    const b = g.input('b', 'f32', transB ? ['n', 'k'] : ['k', 'n']);
    const inputs = hasC ? [a, b, g.input('c', 'f32', ['m', 'n'])] : [a, b];
    const attributes = { transA, transB, alpha: { float: alpha } };
    g.output(g.node('Gemm', inputs, { dtype: 'f32', shape: ['m', 'n'] }, { attributes }), 'y');
    const session = this.backend.createSession(encodeModel(g), { threads: this.threads, spin: false });
    this.sessions.set(form, session);
    return session;
  }
}

/** Rows `[top, bottom)` and columns `[left, right)` of `m` as a fresh matrix. */
export function submatrix(m: Matrix, top: number, bottom: number, left: number, right: number): Matrix {
  const columns = right - left;
  const data = new Float32Array((bottom - top) * columns);
  for (let row = top; row < bottom; row++) {
    const at = row * m.columns;
    data.set(m.data.subarray(at + left, at + right), (row - top) * columns);
  }
  return { rows: bottom - top, columns, data };
}

/** Writes `part` into `m` with its first element at `[top, left]`. */
export function setSubmatrix(m: Matrix, top: number, left: number, part: Matrix): void {
  for (let row = 0; row < part.rows; row++) {
    const from = row * part.columns;
    m.data.set(part.data.subarray(from, from + part.columns), (top + row) * m.columns + left);
  }
}
