/**
 * AWS Lambda Powertools around a function, with its cache layer on Redis. It knows no HTTP, so the
 * key is read from the header and its errors are answered as the draft asks.
 */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache';
import { createClient } from 'redis';
import { count, createThing, port } from './things.mjs';

process.env.AWS_LAMBDA_FUNCTION_NAME = 'things';
const client = createClient({ socket: { path: process.argv[2], tls: false } });
await client.connect();
const config = new IdempotencyConfig({
  eventKeyJmesPath: 'key',
  // No payloadValidationJmesPath: the cache layer forgets the payload's hash when it stores the
  // answer, and every honest repeat is then refused as another payload.
  throwOnNoIdempotencyKey: true,
});
// Without it a request in progress has no expiry and counts as abandoned.
config.registerLambdaContext({ getRemainingTimeInMillis: () => 10_000 });
const create = makeIdempotent(createThing, {
  persistenceStore: new CachePersistenceLayer({ client }),
  config,
});
const statuses = {
  IdempotencyKeyError: 400,
  IdempotencyAlreadyInProgressError: 409,
  IdempotencyValidationError: 422,
};

const server = createServer(async (req, res) => {
  if (req.method === 'GET') return res.end(count());
  try {
    const body = await json(req);
    const { id, location } = await create({ key: req.headers['idempotency-key'], body });
    res.writeHead(201, { 'content-type': 'application/json', location });
    res.end(JSON.stringify({ id }));
  } catch (error) {
    res
      .writeHead(statuses[error.cause?.name] ?? statuses[error.name] ?? 500)
      .end(JSON.stringify({ error: error.name }));
  }
});
server.listen(0, '127.0.0.1', () => port(server));
