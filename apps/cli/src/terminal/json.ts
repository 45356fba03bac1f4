/** `--json` alone means stdout and nothing else on it; `--json FILE` means a file beside the usual text. */
export type JsonTarget = string | true | undefined;

export const jsonOption = [
  '--json [file]',
  'print JSON only, or write it to a file beside the usual output',
] as const;

/** True when the report is all that stdout gets. */
export function jsonOnly(target: JsonTarget): boolean {
  return target === true || target === '-';
}

/** Puts a report where the user asked for it, the file whole or not at all. Returns true when stdout is taken. */
export async function writeJson(target: JsonTarget, report: object): Promise<boolean> {
  const text = `${JSON.stringify(report, null, 2)}\n`;
  if (target === undefined) return false;
  if (jsonOnly(target)) {
    process.stdout.write(text);
    return true;
  }
  const { writeFileAtomic } = await import('@edgedesk/tensor/node');
  await writeFileAtomic(String(target), text);
  return false;
}
