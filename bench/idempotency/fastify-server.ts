/**
 * One Fastify route: `node fastify-server.ts bare|commands|protected REDIS_SOCKET`. `commands` is
 * what any first request takes that is claimed before it runs and kept before it is answered: a
 * command for each, and nothing decided by them.
 */
import { fastify } from 'fastify';
import { createClient } from 'redis';
import { fastifyIdempotency } from '../../idempotency/adapters/fastify.ts';
import { redisClaims } from '../../idempotency/index.ts';

const [, , mode, socket] = process.argv;
const app = fastify();
let id = 0;
const client = createClient({ socket: { path: socket as string, tls: false } });
if (mode !== 'bare') await client.connect();
if (mode === 'commands') {
  const keyOf = (headers: object) =>
    `commands:${(headers as Record<string, string>)['idempotency-key']}`;
  app.addHook('preHandler', async ({ headers }) => {
    await client.sendCommand(['SET', keyOf(headers), 'claimed', 'NX', 'GET', 'PX', '10000']);
  });
  app.addHook('onSend', async ({ headers }, _reply, payload) => {
    await client.sendCommand(['SET', keyOf(headers), String(payload), 'PX', '86400000']);
  });
}
if (mode === 'protected') {
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
