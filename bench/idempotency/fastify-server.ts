/** One Fastify route, bare or protected: `node fastify-server.ts bare|protected REDIS_SOCKET`. */
import { fastify } from 'fastify';
import { createClient } from 'redis';
import { fastifyIdempotency } from '../../idempotency/adapters/fastify.ts';
import { redisClaims } from '../../idempotency/index.ts';

const [, , mode, socket] = process.argv;
const app = fastify();
let id = 0;
if (mode === 'protected') {
  const client = createClient({ socket: { path: socket as string, tls: false } });
  await client.connect();
  app.register(fastifyIdempotency, {
    claims: redisClaims(client, { commandTimeoutMs: 5_000 }),
    scope: () => 'tenant',
    onProtected: () => {},
  });
}
app.post('/things', async (request, reply) => {
  reply.code(201).header('location', `/things/${++id}`);
  return { id, echo: request.body };
});
app.get('/cpu', async () => {
  const { user, system } = process.cpuUsage();
  return user + system;
});
console.log(`listening on ${await app.listen({ port: 0, host: '127.0.0.1' })}`);
