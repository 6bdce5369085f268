/** @onhand/idempotency for Express, with its claims in Redis. */
import express from 'express';
import { createClient } from 'redis';
import { expressIdempotency } from '../../../idempotency/adapters/express.ts';
import { redisClaims } from '../../../idempotency/index.ts';
import { count, createThing, port } from './things.mjs';

const client = createClient({ socket: { path: process.argv[2], tls: false } });
await client.connect();
const app = express();
app.use(express.json());
app.get('/count', (_req, res) => res.type('text').send(count()));
const scope = (req) => req.headers.authorization ?? '';
app.post('/{*path}', expressIdempotency({ scope, claims: redisClaims(client) }), async (_, res) => {
  const { id, location } = await createThing();
  res.status(201).location(location).json({ id });
});
const server = app.listen(0, '127.0.0.1', () => port(server));
