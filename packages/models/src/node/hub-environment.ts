import { homedir } from 'node:os';
import { join } from 'node:path';
import { HubError } from '@edgedesk/tensor';
import type { HubFetch, HubTiming } from '../hub/index.js';
import { hubTiming } from '../hub/limits.js';

/** Where models come from and go to; what is left out follows the variables that huggingface_hub reads. */
export interface HubSettings {
  /** @default HF_ENDPOINT, or https://huggingface.co */
  readonly endpoint?: string;
  /** @default HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub */
  readonly cache?: string;
  /** Ask nobody. @default HF_HUB_OFFLINE */
  readonly offline?: boolean;
  /** Variable that holds the token. @default HF_TOKEN */
  readonly tokenEnv?: string;
  /** Links in snapshots rather than copies. @default unless HF_HUB_DISABLE_SYMLINKS */
  readonly symlinks?: boolean;
  readonly timing?: Partial<HubTiming>;
  /** @default the global one */
  readonly fetch?: HubFetch;
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface HubPlace {
  readonly endpoint: string;
  readonly cache: string;
  readonly offline: boolean;
  readonly symlinks: boolean;
  readonly token: string | undefined;
  readonly timing: HubTiming;
  readonly fetch: HubFetch;
}

const isOn = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? '');

/** Settles what was left open. HubError when an address or a named token cannot be used. */
export function settle(settings: HubSettings): HubPlace {
  const env = settings.env ?? process.env;
  const base = env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'huggingface');
  return {
    endpoint: endpointOf(settings.endpoint ?? (env['HF_ENDPOINT'] || 'https://huggingface.co')),
    cache: settings.cache ?? (env['HF_HUB_CACHE'] || join(base, 'hub')),
    offline: settings.offline ?? isOn(env['HF_HUB_OFFLINE']),
    symlinks: settings.symlinks ?? !isOn(env['HF_HUB_DISABLE_SYMLINKS']),
    token: tokenOf(env, settings.tokenEnv),
    timing: { ...hubTiming, ...settings.timing },
    fetch: settings.fetch ?? ((url, init) => fetch(url, init) as unknown as ReturnType<HubFetch>),
  };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.search === '' && url.username === '') {
    return url.href.replace(/\/+$/, '');
  }
  throw new HubError('refused', 'this is no address of a hub', {
    where: text,
    fix: 'give one such as https://huggingface.co',
  });
}

function tokenOf(env: Readonly<Record<string, string | undefined>>, name: string | undefined): string | undefined {
  const token = (env[name ?? 'HF_TOKEN'] ?? '').trim();
  const where = `the variable ${name ?? 'HF_TOKEN'}`;
  if (token === '') {
    if (name === undefined) return undefined;
    throw new HubError('forbidden', 'it holds no token', { where, fix: 'set it, or leave --token-env out' });
  }
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new HubError('forbidden', 'what it holds is no token', { where, fix: 'copy the token again' });
}
