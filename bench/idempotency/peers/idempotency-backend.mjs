/** idempotency-backend as its README has it for Express. */
import { createRequire } from 'node:module';
import express from 'express';
import { count, createThing, port } from './things.mjs';

const module = createRequire(import.meta.url)('idempotency-backend/express');
const app = express();
app.use(express.json());
app.get('/count', (_req, res) => res.type('text').send(count()));
app.post('/{*path}', module.default ?? module, async (req, res) => {
  const { id, location } = await createThing();
  await req.idempotencySession.SaveResponse({ id });
  res.status(201).location(location).json({ id });
});
const server = app.listen(0, '127.0.0.1', () => port(server));
