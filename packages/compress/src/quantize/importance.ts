/** Share of the mean added to each input's mean square, so that no weight is of no account on other text. */
const importanceFloor = 0.01;

/** How much each input of a layer matters, from its mean squares. */
export function importanceOf(meanSquares: Float32Array): Float32Array {
  const mean = meanSquares.reduce((sum, x) => sum + x, 0) / meanSquares.length;
  return meanSquares.map((x) => (mean > 0 ? x + importanceFloor * mean : 1));
}
