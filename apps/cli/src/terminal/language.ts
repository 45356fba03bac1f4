export type Language = 'en' | 'zh';

/** The language that the environment asks for, as POSIX orders the variables. */
export function environmentLanguage(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Language {
  const value = environment.LC_ALL || environment.LC_MESSAGES || environment.LANG || '';
  return /^zh/i.test(value) ? 'zh' : 'en';
}
