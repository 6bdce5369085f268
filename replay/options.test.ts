import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions, UsageError, usage } from './options.ts';

const read = (line: string, env: Record<string, string> = {}) => readOptions(line.split(' '), env);

test('only the file is needed', () => {
  assert.deepEqual(read('--orders a.csv'), {
    orders: 'a.csv',
    rate: 0,
    duplicates: 0.1,
    concurrency: 32,
    opening: 1,
    run: undefined,
    service: undefined,
  });
});

test('a running service is named by its URL and key', () => {
  const service = { url: 'http://127.0.0.1:8080', apiKey: 'k' };
  const url = '--orders a.csv --url http://127.0.0.1:8080/';
  assert.deepEqual(read(`${url} --api-key k`).service, service);
  assert.deepEqual(read(url, { ONHAND_API_KEY: 'k' }).service, service);
});

const wrong: [line: string, says: RegExp][] = [
  ['--rate 5', /--orders FILE is needed/],
  ['--orders a --duplicates 1.5', /--duplicates must be a number from 0 to 1, not 1.5/],
  ['--orders a --concurrency 0', /--concurrency must be a number from 1 to 512/],
  ['--orders a --rate x', /--rate must be a number/],
  ['--orders a --opening 2', /--opening must be a number from 0 to 1/],
  ['--orders a --run a/b', /--run must be/],
  ['--orders a --url ftp://x --api-key k', /--url must be an address/],
  ['--orders a --url http://x', /--url needs --api-key/],
  ['--orders a --api-key k', /--api-key belongs to --url/],
  ['--orders a --speed 3', /--speed/],
];
for (const [line, says] of wrong) {
  test(`explains what is wrong with "${line}"`, () => {
    assert.throws(() => read(line), says);
    assert.throws(() => read(line), UsageError);
  });
}

test('--help is the usage', () => {
  assert.throws(() => read('--help'), { message: usage });
});
