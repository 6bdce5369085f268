import assert from 'node:assert/strict';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A caller of the API, as far as the tests need one. */
export interface ApiClient {
  readonly url: string;
  get(path: string): Promise<Reply>;
  /** A stock command under a key. */
  post(path: string, key: string, body: unknown): Promise<Reply>;
  put(path: string): Promise<Reply>;
}

export function apiClient({ url, apiKey }: { url: string; apiKey: string }): ApiClient {
  const send = async (method: string, path: string, key?: string, body?: unknown) => {
    const reply = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { status: reply.status, headers: reply.headers, text: await reply.text() };
  };
  return {
    url,
    get: (path) => send('GET', path),
    post: (path, key, body) => send('POST', path, key, body),
    put: (path) => send('PUT', path),
  };
}

/** Registers codes, and gives each product an opening stock in each warehouse. */
export async function openStock(
  client: ApiClient,
  warehouses: readonly string[],
  products: readonly string[],
  quantity = 0,
): Promise<void> {
  for (const code of warehouses) await expect(client.put(`/v1/warehouses/${code}`), 201);
  for (const code of products) await expect(client.put(`/v1/products/${code}`), 201);
  if (quantity === 0) return;
  const lines = products.map((product) => ({ product, quantity }));
  for (const warehouse of warehouses) {
    await expect(
      client.post('/v1/receipts', `opening-${warehouse}-${products[0]}`, { warehouse, lines }),
      201,
    );
  }
}

/** @returns the parsed body of a reply that must have this status */
export async function expect<Body = Record<string, unknown>>(
  reply: Promise<Reply>,
  status: number,
): Promise<Body> {
  const { status: got, text } = await reply;
  assert.equal(got, status, text);
  return JSON.parse(text) as Body;
}

export async function onHand(client: ApiClient, warehouse: string, product: string) {
  const level = await expect<{ onHand: number }>(
    client.get(`/v1/stock/${warehouse}/${product}`),
    200,
  );
  return level.onHand;
}

/** Fails unless the ledger proves itself. @returns how many movements it has */
export async function provenMovements(client: ApiClient): Promise<number> {
  const proof = await expect<{ valid: boolean; movements: number; faults: unknown[] }>(
    client.get('/v1/verify'),
    200,
  );
  assert.deepEqual(proof.faults, []);
  assert.equal(proof.valid, true);
  return proof.movements;
}

/** How often each status and problem code came back, for one assertion on all. */
export function tally(replies: readonly Reply[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, text } of replies) {
    const code = status < 400 ? '' : ` ${(JSON.parse(text) as { code: string }).code}`;
    const name = `${status}${code}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
