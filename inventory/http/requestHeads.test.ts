import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { startApi, stock } from './testing/api.ts';
import { assertProblem, exchange } from './testing/caller.ts';

const api = await startApi({ after });
const { writer } = await api.tenant();
await stock(writer, 'P');

const receipt = '{"warehouse":"W1","lines":[{"product":"P","quantity":1}]}';

/** Sends a receipt with these headers besides the usual. @returns the whole answer */
function post(...headers: string[]): Promise<string> {
  const head = [
    'POST /v1/receipts HTTP/1.1',
    'Content-Type: application/json; charset=utf-8',
    'Idempotency-Key: k',
    `Content-Length: ${receipt.length}`,
  ];
  return writer.raw([...head, ...headers], receipt);
}

function assertRefused(answer: string, path: string, detail: string): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  assert.match(head, /^HTTP\/1.1 400 /);
  assert.match(head, /^content-type: application\/problem\+json$/im);
  assert.match(head, /^x-request-id: \S+$/im);
  const { code, errors } = JSON.parse(body);
  assert.equal(code, 'validation-failed');
  assert.deepEqual([errors[0].path, errors[0].detail], [path, detail]);
}

for (const [header, path] of [
  ['Host: elsewhere', '$.headers.host'],
  ['Authorization: Bearer another', '$.headers.authorization'],
  ['Content-Type: text/plain', '$.headers["content-type"]'],
] as const) {
  test(`a second ${header} is refused`, async () => {
    assertRefused(await post(header), path, 'must be sent once');
    assert.equal(await writer.level('W1', 'P'), '10/0/10@1');
  });
}

test('two equal Hosts are refused without an API key and on no route too', async () => {
  const { hostname, port } = new URL(api.url);
  for (const path of ['/healthz', '/nowhere']) {
    const head = `GET ${path} HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n`;
    const answer = await exchange(Number(port), hostname, [head]);
    assertRefused(answer, '$.headers.host', 'must be sent once');
  }
});

test('one Authorization with a comma is not a second one', async () => {
  const headers = { authorization: 'Digest username="a", realm="b"' };
  assertProblem(await api.anonymous.get('/v1/stock', headers), 'unauthenticated');
});

test('an Expect that is not known is a problem, and 100-continue is kept', async () => {
  assertRefused(await post('Expect: bogus'), '$.headers.expect', 'must be 100-continue');
  const answer = await post('Expect: 100-Continue');
  assert.match(answer, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201 /);
});

test('HTTP/1.0 knows no Expect', async () => {
  const { hostname, port } = new URL(api.url);
  const head = 'GET /healthz HTTP/1.0\r\nExpect: bogus\r\n\r\n';
  assert.match(await exchange(Number(port), hostname, [head]), /^HTTP\/1.1 200 /);
});

test('to no route no body is read', async () => {
  for (const body of ['{', 'x'.repeat(2 << 20), { a: 1 }]) {
    assertProblem(await writer.post('/v1/nope', body), 'not-found');
  }
  const headers = { 'content-type': 'text/plain' };
  assertProblem(await writer.send('POST', '/v1/nope', { body: 'x', headers }), 'not-found');
});
