/** express-idempotency as its README has it, with the in-memory adapter it ships. */
import express from 'express';
import expressIdempotency from 'express-idempotency';
import { count, createThing, port } from './things.mjs';

const app = express();
app.use(express.json());
app.get('/count', (_req, res) => res.type('text').send(count()));
app.post('/{*path}', expressIdempotency.idempotency(), async (req, res) => {
  if (expressIdempotency.getSharedIdempotencyService().isHit(req)) return;
  const { id, location } = await createThing();
  res.status(201).location(location).json({ id });
});
const server = app.listen(0, '127.0.0.1', () => port(server));
