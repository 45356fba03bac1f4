import type { OrtBackend, Session, Shape, Tensor, Value } from '@edgedesk/tensor';
import { encodeModel, Graph, op, tensor } from '@edgedesk/tensor';

/**
 * Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"), scaled to AdamW's update size
 * as in Liu et al. 2025, "Muon is scalable for LLM training", so that both share one learning rate:
 *
 *   M = mu M + G;  U = G + mu M;  O = NewtonSchulz5(U / |U|);  W = (1 - lr lambda) W - lr 0.2 sqrt(max(m, n)) O
 */
export interface MuonOptions {
  /** Nesterov momentum, mu. @default 0.95 */
  readonly momentum: number;
  /** Decoupled weight decay, lambda. @default 0.1 */
  readonly weightDecay: number;
}

export const muonDefaults: MuonOptions = { momentum: 0.95, weightDecay: 0.1 };

/** a, b, c of the quintic that drives singular values towards 1. */
const quintic = [3.4445, -4.775, 2.0315] as const;
const iterations = 5;

/** The tensors of one matrix `[m, n]`, updated in place. */
export interface MuonTensors {
  readonly weight: Tensor;
  readonly gradient: Tensor;
  readonly momentum: Tensor;
}

export interface Muon {
  /** Updates one matrix; `scale` multiplies the gradient first (clipping). */
  update(tensors: MuonTensors, lr: number, scale: number): Promise<void>;
  release(): Promise<void>;
}

/** Sessions are made once for each matrix shape. */
export function createMuon(backend: OrtBackend, options: MuonOptions = muonDefaults): Muon {
  const sessions = new Map<string, Promise<Session>>();
  const sessionFor = (shape: Shape): Promise<Session> => {
    const key = shape.join('x');
    let session = sessions.get(key);
    if (!session) {
      session = backend.createSession(muonModel(shape, options), { spin: false });
      sessions.set(key, session);
    }
    return session;
  };
  return {
    async update({ weight, gradient, momentum }, lr, scale) {
      const session = await sessionFor(weight.shape);
      await session.runInto(
        {
          w: weight,
          g: gradient,
          m: momentum,
          scale: tensor.f32([scale], []),
          keep: tensor.f32([1 - lr * options.weightDecay], []),
          rate: tensor.f32([lr * 0.2 * Math.sqrt(Math.max(...weight.shape))], []),
        },
        { new_w: weight, new_m: momentum },
      );
    },
    async release() {
      for (const session of sessions.values()) await (await session).release();
    },
  };
}

function muonModel(shape: Shape, { momentum }: MuonOptions): Uint8Array {
  const g = new Graph();
  const [w, gradient, m] = ['w', 'g', 'm'].map((name) => g.input(name, 'f32', shape)) as [
    Value,
    Value,
    Value,
  ];
  const [scale, keep, rate] = ['scale', 'keep', 'rate'].map((name) => g.input(name, 'f32', [])) as [
    Value,
    Value,
    Value,
  ];
  const G = op.mul(g, gradient, scale);
  const M = op.add(g, op.mul(g, m, g.scalar(momentum)), G);
  const U = op.add(g, op.mul(g, M, g.scalar(momentum)), G);
  const O = newtonSchulz(g, U);
  g.output(op.sub(g, op.mul(g, w, keep), op.mul(g, O, rate)), 'new_w');
  g.output(M, 'new_m');
  return encodeModel(g, { inPlaceOutputs: true });
}

/** Approximately the nearest semi-orthogonal matrix: X <- a X + (b A + c A^2) X with A = X X^T. */
function newtonSchulz(g: Graph, U: Value): Value {
  const [a, b, c] = quintic;
  const tall = (U.shape[0] as number) > (U.shape[1] as number);
  const norm = op.sqrt(g, op.reduceSum(g, op.mul(g, U, U), [0, 1]));
  let X = op.div(g, U, op.add(g, norm, g.scalar(1e-7)));
  if (tall) X = op.transpose(g, X, [1, 0]);
  for (let i = 0; i < iterations; i++) {
    const A = op.matmul(g, X, X, { transposeB: true });
    const B = op.add(g, op.mul(g, A, g.scalar(b)), op.gemm(g, A, A, null, { alpha: c }));
    X = op.add(g, op.mul(g, X, g.scalar(a)), op.matmul(g, B, X));
  }
  return tall ? op.transpose(g, X, [1, 0]) : X;
}
