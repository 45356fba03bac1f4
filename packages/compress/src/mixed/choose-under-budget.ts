/** One of several ways to store a thing: what it takes and what it costs in quality. */
export interface Choice {
  readonly size: number;
  readonly cost: number;
}

export interface Chosen {
  /** Index of each thing's choice. */
  readonly indices: readonly number[];
  readonly size: number;
  readonly cost: number;
  /** No selection within the budget costs less than this (Lagrangian relaxation). */
  readonly lowerBound: number;
  /** Proved to be the cheapest; false only when the search was cut short. */
  readonly optimal: boolean;
}

/** Partial selections kept at once; real models need a few thousand. */
const maxStates = 100_000;

/**
 * One choice for each thing with the least total cost within `budget`: the multiple-choice knapsack problem (Kellerer,
 * Pferschy and Pisinger, Knapsack Problems, 2004, chapter 11). A price a byte, lambda, splits it into one problem a thing
 * and gives a bound; filling up greedily gives a first answer; choices whose price exceeds the gap between both are out.
 * What is left is enumerated thing by thing, partial selections that another one beats in size and cost dropped.
 *
 * null when even the smallest choices exceed the budget. Sizes and costs are finite, sizes not negative.
 */
export function chooseUnderBudget(things: readonly (readonly Choice[])[], budget: number): Chosen | null {
  const frontiers = things.map(frontier);
  const smallest = frontiers.map((options) => options[0]!);
  if (total(smallest, 'size') > budget) return null;
  const { filled, lambda } = fill(frontiers, budget);
  const best = finish(things, frontiers, filled, lambda, budget);
  return best;
}

type Indexed = Choice & { readonly index: number };

/** The choices that none beats in both, from the smallest to the cheapest. */
function frontier(choices: readonly Choice[]): Indexed[] {
  const sorted = choices
    .map((choice, index) => ({ ...choice, index }))
    .sort((a, b) => a.size - b.size || a.cost - b.cost || a.index - b.index);
  const kept: Indexed[] = [];
  for (const choice of sorted) if (kept.length === 0 || choice.cost < kept.at(-1)!.cost) kept.push(choice);
  return kept;
}

const total = (choices: readonly Choice[], key: keyof Choice): number =>
  choices.reduce((sum, choice) => sum + choice[key], 0);

/** The corners of a frontier's lower convex hull: along them each byte buys less than the one before. */
function hull(options: readonly Indexed[]): Indexed[] {
  const corners: Indexed[] = [];
  for (const option of options) {
    while (corners.length > 1 && gain(corners.at(-2)!, corners.at(-1)!) <= gain(corners.at(-1)!, option)) {
      corners.pop();
    }
    corners.push(option);
  }
  return corners;
}

/** Cost saved by each byte of the step. */
const gain = (from: Choice, to: Choice): number => (from.cost - to.cost) / (to.size - from.size);

/** The best steps first, each where it fits; lambda is the gain of the first that does not (0: all fit). */
function fill(
  frontiers: readonly (readonly Indexed[])[],
  budget: number,
): { filled: Indexed[]; lambda: number } {
  const filled = frontiers.map((options) => options[0]!);
  const steps = frontiers.flatMap((options, thing) => {
    const corners = hull(options);
    return corners.slice(1).map((to, i) => ({ thing, from: corners[i]!, to, gain: gain(corners[i]!, to) }));
  });
  steps.sort((a, b) => b.gain - a.gain || a.thing - b.thing);
  let size = total(filled, 'size');
  let lambda = 0;
  for (const { thing, from, to, gain: worth } of steps) {
    if (filled[thing] === from && size + to.size - from.size <= budget) {
      filled[thing] = to;
      size += to.size - from.size;
    } else if (lambda === 0) lambda = worth;
  }
  return { filled, lambda };
}

/** Partial selections after some things, by size; `parent` and `option` lead back to what was chosen. */
interface Layer {
  readonly size: Float64Array;
  readonly cost: Float64Array;
  readonly price: Float64Array;
  readonly parent: Int32Array;
  readonly option: Uint16Array;
}

function finish(
  things: readonly (readonly Choice[])[],
  frontiers: readonly (readonly Indexed[])[],
  filled: readonly Indexed[],
  lambda: number,
  budget: number,
): Chosen {
  const priced = (choice: Choice): number => choice.cost + lambda * choice.size;
  const least = frontiers.map((options) => Math.min(...options.map(priced)));
  const relaxed = least.reduce((sum, x) => sum + x, 0) - lambda * budget;
  const filledCost = total(filled, 'cost');
  // Rounding of sums must not cut the best selection off.
  const slack = 1e-12 * (Math.abs(filledCost) + lambda * budget);
  const gap = filledCost - relaxed + slack;
  /** What a choice costs above the best one at this price; beyond the gap it is in no better selection. */
  const open = frontiers.map((options, thing) =>
    options
      .map((option) => ({ ...option, price: priced(option) - least[thing]! }))
      .filter(({ price }) => price <= gap),
  );
  const smallestAfter = new Float64Array(things.length + 1);
  for (let i = things.length - 1; i >= 0; i--) smallestAfter[i] = smallestAfter[i + 1]! + open[i]![0]!.size;

  const layers: Layer[] = [];
  let optimal = true;
  let last: Pick<Layer, 'size' | 'cost' | 'price'> = {
    size: Float64Array.of(0),
    cost: Float64Array.of(0),
    price: Float64Array.of(0),
  };
  for (const [thing, options] of open.entries()) {
    let states = extend(last, options, budget - smallestAfter[thing + 1]!, gap);
    if (states.length > maxStates) {
      optimal = false;
      states = states.sort((a, b) => a.price - b.price).slice(0, maxStates);
      states.sort((a, b) => a.size - b.size);
    }
    const layer: Layer = {
      size: Float64Array.from(states, (s) => s.size),
      cost: Float64Array.from(states, (s) => s.cost),
      price: Float64Array.from(states, (s) => s.price),
      parent: Int32Array.from(states, (s) => s.parent),
      option: Uint16Array.from(states, (s) => s.option),
    };
    layers.push(layer);
    last = layer;
  }
  const lowerBound = Math.min(relaxed, filledCost);
  const count = last.size.length;
  // Along a frontier the largest selection is the cheapest. Greedy filling stands where the cut lost everything better.
  if (count === 0 || last.cost[count - 1]! > filledCost) {
    const size = total(filled, 'size');
    return { indices: filled.map((c) => c.index), size, cost: filledCost, lowerBound, optimal };
  }
  const indices = new Array<number>(things.length);
  for (let thing = things.length - 1, state = count - 1; thing >= 0; thing--) {
    const { parent, option } = layers[thing]!;
    indices[thing] = open[thing]![option[state]!]!.index;
    state = parent[state]!;
  }
  const chosen = indices.map((index, thing) => things[thing]![index]!);
  return { indices, size: total(chosen, 'size'), cost: total(chosen, 'cost'), lowerBound, optimal };
}

interface State {
  readonly size: number;
  readonly cost: number;
  readonly price: number;
  readonly parent: number;
  readonly option: number;
}

/** All selections with one more thing that fit, are within the gap and are beaten by none. */
function extend(
  last: Pick<Layer, 'size' | 'cost' | 'price'>,
  options: readonly (Choice & { readonly price: number })[],
  room: number,
  gap: number,
): State[] {
  const states: State[] = [];
  for (let parent = 0; parent < last.size.length; parent++) {
    for (const [option, choice] of options.entries()) {
      const size = last.size[parent]! + choice.size;
      const price = last.price[parent]! + choice.price;
      if (size > room || price > gap) continue;
      states.push({ size, cost: last.cost[parent]! + choice.cost, price, parent, option });
    }
  }
  states.sort((a, b) => a.size - b.size || a.cost - b.cost);
  let least = Infinity;
  return states.filter(({ cost }) => {
    if (cost >= least) return false;
    least = cost;
    return true;
  });
}
