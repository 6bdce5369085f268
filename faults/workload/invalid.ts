export interface Invalid {
  readonly what: string;
  /** The status that refuses it, before any decision. */
  readonly expected: number;
  readonly body: unknown;
  readonly headers: Record<string, string>;
}

const key = { 'idempotency-key': '"an-invalid-request"' };

/** Ways to get a request wrong, made from the body of a right one. */
export function invalidRequests(body: Record<string, unknown>): Invalid[] {
  return [
    { what: 'no key', expected: 400, body, headers: {} },
    { what: 'a key with a space', expected: 400, body, headers: { 'idempotency-key': 'a b' } },
    {
      what: 'two different keys',
      expected: 400,
      body,
      headers: { ...key, 'x-idempotency-key': 'another' },
    },
    { what: 'half a body', expected: 400, body: '{"warehouse":"W1","li', headers: key },
    { what: 'no lines', expected: 400, body: { ...body, lines: [] }, headers: key },
    {
      what: 'a quantity of nothing',
      expected: 400,
      body: { ...body, lines: [{ product: 'P1', quantity: 0 }] },
      headers: key,
    },
    {
      what: 'an unknown API key',
      expected: 401,
      body,
      headers: { ...key, authorization: 'Bearer of-bad-news-0123456789' },
    },
  ];
}
