import type { Engine } from '@edgedesk/runtime';

/** Labels by their token ids: a node is entered through `tokens` and ends `label`, if any. */
export interface LabelNode {
  readonly tokens: readonly number[];
  readonly label: string | null;
  readonly children: readonly LabelNode[];
}

export interface TokenizedLabel {
  readonly label: string;
  /** Ids behind the prompt, end of turn included. */
  readonly tokens: readonly number[];
}

/** Radix trie of the labels; its root has no tokens. */
export function labelTrie(labels: readonly TokenizedLabel[]): LabelNode {
  return grow(
    [...labels].sort((a, b) => compare(a.tokens, b.tokens)),
    0,
    0,
  );
}

/** Node over `labels` (sorted), which agree on their first `depth` tokens; its own tokens begin at `from`. */
function grow(labels: readonly TokenizedLabel[], from: number, depth: number): LabelNode {
  const [first] = labels;
  const last = labels.at(-1);
  if (first === undefined || last === undefined) return { tokens: [], label: null, children: [] };
  // Sorted, so what the first and the last share, all share. The root stays empty.
  let end = depth;
  if (depth > 0) while (end < first.tokens.length && first.tokens[end] === last.tokens[end]) end++;
  const ends = first.tokens.length === end;
  const children: LabelNode[] = [];
  const rest = labels.filter(({ tokens }) => tokens.length > end);
  for (let i = 0; i < rest.length;) {
    const id = rest[i]!.tokens[end];
    let j = i;
    while (j < rest.length && rest[j]!.tokens[end] === id) j++;
    children.push(grow(rest.slice(i, j), end, end + 1));
    i = j;
  }
  return { tokens: first.tokens.slice(from, end), label: ends ? first.label : null, children };
}

interface Candidate {
  readonly node: LabelNode;
  /** Label tokens before the node's own. */
  readonly path: readonly number[];
  /** Log-probability through the node's first token, or through its last once it has been `entered`. */
  readonly logProb: number;
  readonly entered: boolean;
}

/**
 * The label with the highest summed log-probability behind `prompt`, and that log-probability.
 *
 * Exact best-first search: a sum of log-probabilities only falls with every token, so the first complete label that is
 * better than every open branch is the likeliest of all. Most branches are never run, and the engine keeps the keys and
 * values of the prompt from one call to the next.
 */
export async function likeliestLabel(
  engine: Engine,
  prompt: readonly number[],
  root: LabelNode,
): Promise<{ readonly label: string; readonly logProb: number } | null> {
  let open: Candidate[] = await enter(engine, prompt, { node: root, path: [], logProb: 0, entered: false });
  for (;;) {
    let best: Candidate | undefined;
    for (const candidate of open)
      if (best === undefined || candidate.logProb > best.logProb) best = candidate;
    if (best === undefined) return null;
    if (best.entered) return { label: best.node.label!, logProb: best.logProb };
    open = open.filter((candidate) => candidate !== best);
    open.push(...(await enter(engine, prompt, best)));
  }
}

/** Runs the rest of a node's tokens: the label it ends, if any, and its children with their first token scored. */
async function enter(
  engine: Engine,
  prompt: readonly number[],
  { node, path, logProb }: Candidate,
): Promise<Candidate[]> {
  const known = Math.min(1, node.tokens.length);
  const [firstChild] = node.children;
  const through = [...path, ...node.tokens];
  const start = prompt.length + path.length + known;
  let total = logProb;
  const found: Candidate[] = [];
  if (node.tokens.length > known || firstChild !== undefined) {
    // A child's first token stands in for the next one: its position yields the row over all children.
    const tokens = [...prompt, ...through, ...(firstChild === undefined ? [] : [firstChild.tokens[0]!])];
    const { logProbs, rows } = await engine.score(tokens, {
      start,
      withRows: firstChild !== undefined,
    });
    const edge = node.tokens.length - known;
    for (let i = 0; i < edge; i++) total += logProbs[i]!;
    if (rows !== undefined) {
      const vocabulary = rows.length / logProbs.length;
      const row = rows.subarray(edge * vocabulary, (edge + 1) * vocabulary);
      for (const child of node.children) {
        found.push({ node: child, path: through, logProb: total + row[child.tokens[0]!]!, entered: false });
      }
    }
  }
  if (node.label !== null) found.push({ node, path, logProb: total, entered: true });
  return found;
}

function compare(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.length - b.length;
}
