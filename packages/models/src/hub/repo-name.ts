import { HubError } from '@edgedesk/tensor';

/** What a user names on a hub. */
export interface HubModel {
  /** `org/name`, or `name` for the oldest repositories. */
  readonly repo: string;
  /** Branch, tag, pull request (`refs/pr/3`) or commit. */
  readonly revision: string;
  /** One file, for GGUF. */
  readonly file?: string;
}

export const commitPattern = /^[0-9a-f]{40}$/;

/** Hugging Face's rules; `--` would be ambiguous in the cache. */
const repoPattern = /^(?:[A-Za-z0-9_][\w.-]{0,95}\/)?[A-Za-z0-9_][\w.-]{0,95}$/;
/** Of git's rules the part that is also a safe relative path. */
const revisionPattern = /^[\w][\w.+-]*(?:\/[\w][\w.+-]*)*$/;
const maxRevisionLength = 200;
const scheme = 'hf:';

/** Whether a MODEL argument names a hub's model; a local path of that look is written `./hf:...`. */
export const isHubModel = (text: string): boolean => text.startsWith(scheme);

/** Parses `[hf:]REPO[@REVISION][:FILE]`; HubError when that is no name. */
export function parseHubModel(text: string): HubModel {
  const name = text.startsWith(scheme) ? text.slice(scheme.length) : text;
  const colon = name.indexOf(':');
  const [whole, file] = colon < 0 ? [name, undefined] : [name.slice(0, colon), name.slice(colon + 1)];
  const at = whole.indexOf('@');
  const [repo, revision] = at < 0 ? [whole, 'main'] : [whole.slice(0, at), whole.slice(at + 1)];
  if (!isRepo(repo)) {
    throw new HubError('refused', 'this is no name of a repository', {
      where: text,
      fix: 'write ORG/NAME, as in the address of its page, with @REVISION behind it for another than `main`',
    });
  }
  const { length } = revision;
  if (!revisionPattern.test(revision) || /\.\.|\.lock$|\.$/.test(revision) || length > maxRevisionLength) {
    throw new HubError('refused', `"${revision}" is no name of a revision`, {
      where: text,
      fix: 'name a branch, a tag or a commit',
    });
  }
  if (file === undefined) return { repo, revision };
  assertFileName(file, text);
  return { repo, revision, file };
}

const isRepo = (repo: string): boolean =>
  repoPattern.test(repo) && !/--|\.\.|[.-]$|\.git$|[.-]\//.test(repo);

/** The repository's folder in the cache. */
export const repoFolder = (repo: string): string => `models--${repo.replace('/', '--')}`;

/** The repository's own name when `path` is a snapshot in a cache, for people to read. */
export function snapshotName(path: string): string | undefined {
  return /models--(?:[^/\\]+--)?([^/\\]+)[/\\]snapshots[/\\][0-9a-f]{40}[/\\]?$/.exec(path)?.[1];
}

/** What Linux allows in practice. */
const maxNameLength = 512;

/** A path from a hub becomes a path on disk: nothing but plain names, one below the other. HubError otherwise. */
export function assertFileName(path: string, where: string): void {
  const plain = (part: string): boolean =>
    part !== '' && part !== '.' && part !== '..' && !/[\\:*?"<>|\p{Cc}]|[. ]$/u.test(part);
  if (path.length <= maxNameLength && path.split('/').every(plain)) return;
  throw new HubError('refused', `the file name ${JSON.stringify(path.slice(0, 80))} could leave the cache`, {
    where,
    fix: 'do not use this repository',
  });
}
