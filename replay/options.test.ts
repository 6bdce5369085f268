import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions, UsageError, usage } from './options.ts';

const read = (line: string, env: Record<string, string> = {}) => readOptions(line.split(' '), env);

const KEY = 'a-key-of-a-service';

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
  const service = { url: 'http://127.0.0.1:8080', apiKey: KEY };
  const url = '--orders a.csv --url http://127.0.0.1:8080/';
  assert.deepEqual(read(`${url} --api-key ${KEY}`).service, service);
  assert.deepEqual(read(url, { ONHAND_API_KEY: KEY }).service, service);
  assert.deepEqual(read(`${url} --api-key=`, { ONHAND_API_KEY: `${KEY}\n` }).service, service);
});

test('a key that cannot be one is refused at once, and not shown', () => {
  const url = '--orders a.csv --url http://127.0.0.1:8080/';
  const rule = 'must be 16 to 200 visible ASCII characters';
  assert.throws(() => read(`${url} --api-key short`), {
    name: 'UsageError',
    message: `--api-key ${rule}`,
  });
  assert.throws(() => read(url, { ONHAND_API_KEY: `${KEY}\n${KEY}` }), {
    name: 'UsageError',
    message: `ONHAND_API_KEY ${rule}`,
  });
  assert.throws(() => read(url, { ONHAND_API_KEY: ' ' }), /--url needs --api-key/);
});

const wrong: [line: string, says: RegExp][] = [
  ['--rate 5', /--orders FILE is needed/],
  ['--orders a --duplicates 1.5', /--duplicates must be a number from 0 to 1, not 1.5/],
  ['--orders a --concurrency 0', /--concurrency must be a number from 1 to 512/],
  ['--orders a --rate x', /--rate must be a number/],
  ['--orders a --opening 2', /--opening must be a number from 0 to 1/],
  ['--orders a --run a/b', /--run must be/],
  [`--orders a --url ftp://x --api-key ${KEY}`, /--url must be an address/],
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
