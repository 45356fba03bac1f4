import { readFileSync } from 'node:fs';
import { CheckpointError } from '@edgedesk/tensor';
import { CommanderError } from 'commander';
import { describe, expect, it } from 'vitest';
import { describeFailure, Interrupted } from './failure.js';
import { environmentLanguage } from './language.js';

describe('describeFailure', () => {
  it('gives bad input one sentence without control characters', () => {
    const error = new CheckpointError('the name `a\nb\u001b[31m` is not one', {
      where: 'x.json',
      fix: 'mend it',
    });
    expect(describeFailure(error)).toEqual({
      sentence: 'x.json: the name `a b?[31m` is not one; mend it.',
      code: 1,
    });
  });

  it("puts the system's errors into words", () => {
    let caught: unknown;
    try {
      readFileSync('/nowhere/at/all');
    } catch (error) {
      caught = error;
    }
    expect(describeFailure(caught)).toEqual({
      sentence: '/nowhere/at/all: there is no such file or folder.',
      code: 1,
    });
  });

  it('knows usage, help, interruption and bugs', () => {
    expect(describeFailure(new CommanderError(1, 'commander.unknownOption', 'x'))).toMatchObject({ code: 2 });
    expect(describeFailure(new CommanderError(0, 'commander.help', 'x'))).toMatchObject({ code: 0 });
    expect(describeFailure(new Interrupted())).toEqual({ sentence: undefined, code: 130 });
    expect(describeFailure(new RangeError('odd')).sentence).toMatch(/^EdgeDesk failed: odd .*--debug/);
  });
});

it('environmentLanguage follows the order of POSIX', () => {
  expect(environmentLanguage({ LANG: 'zh_CN.UTF-8' })).toBe('zh');
  expect(environmentLanguage({ LANG: 'zh_CN.UTF-8', LC_ALL: 'C' })).toBe('en');
  expect(environmentLanguage({ LC_ALL: '', LC_MESSAGES: 'zh_TW', LANG: 'en_US' })).toBe('zh');
  expect(environmentLanguage({})).toBe('en');
});
