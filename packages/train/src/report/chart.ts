export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Maps `from..to` linearly to `start..end`, rounded to a tenth of a pixel. */
export function chartScale(from: number, to: number, start: number, end: number): (value: number) => number {
  const span = to - from || 1;
  return (value) => Math.round((start + ((value - from) / span) * (end - start)) * 10) / 10;
}

/** About `count` round numbers (1, 2 or 5 times a power of ten apart) inside `from..to`. */
export function ticksOf(from: number, to: number, count: number): number[] {
  const rough = (to - from) / count;
  if (!(rough > 0) || !Number.isFinite(rough)) return [from];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((size) => size >= rough)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) ticks.push(Number((i * step).toPrecision(10)));
  return ticks;
}

/** An SVG path through the points; it breaks where a value is not finite. */
export function linePath(
  points: readonly Point[],
  x: (value: number) => number,
  y: (value: number) => number,
): string {
  let pen = 'M';
  let path = '';
  for (const point of points) {
    if (!Number.isFinite(point.y)) {
      pen = 'M';
      continue;
    }
    path += `${pen}${x(point.x)} ${y(point.y)}`;
    pen = 'L';
  }
  return path;
}

/** At most about `limit` of the points, the last among them. */
export function thin(points: readonly Point[], limit: number): readonly Point[] {
  const stride = Math.ceil(points.length / limit);
  if (stride <= 1) return points;
  return points.filter((_, i) => i % stride === 0 || i === points.length - 1);
}
