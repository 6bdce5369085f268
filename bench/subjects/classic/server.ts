/**
 * The classic design as a small, well-tuned server: per request the locks of its pairs in Redis,
 * then one transaction. A process of its own; DATABASE_URL, REDIS_URL; prints where it listens.
 *
 * Favours it has over Onhand: the bearer token is the tenant without a look-up, levels exist before
 * they are used, and there is no fingerprint, hash chain, expiry or metrics.
 */
import Fastify, { type FastifyRequest } from 'fastify';
import pg from 'pg';
import { createClient, type RedisClientType } from 'redis';
import {
  LevelAnswer,
  PostingAnswer,
  Receipt,
  Reservation,
  ReservationAnswer,
  ReservationChange,
  Shipment,
  Transfer,
} from '../../../inventory/http/schemas.ts';
import { validatorCompiler } from '../../../inventory/http/validation.ts';
import { tenantOf } from '../../load/load.ts';
import { type Change, type Effect, holdUnits, post, shipment, shipUnits } from './ledger.ts';
import { RedisLock } from './redisLock.ts';
import { findLevel } from './statements.ts';

interface Line {
  product: string;
  quantity: number;
}
interface Body {
  warehouse: string;
  from: string;
  to: string;
  reference?: string;
  lines: Line[];
}

pg.types.setTypeParser(pg.types.builtins.INT8, Number);
const pool = new pg.Pool({
  connectionString: process.env.DATABASE_URL,
  // The best of 8, 16, 24, 32 and 64 with 128 connections on two cores.
  max: 24,
});
const redis = createClient({ url: process.env.REDIS_URL ?? '' }) as RedisClientType;
await redis.connect();
const lock = await RedisLock.open(redis);

const app = Fastify();
app.setValidatorCompiler(validatorCompiler as never);

const keyOf = ({ headers }: FastifyRequest) => String(headers['idempotency-key'] ?? '');

function changesOf(warehouse: string, lines: Line[], onHand: number, reserved: number): Change[] {
  return lines.map(({ product, quantity }) => ({
    warehouse,
    product,
    onHandChange: onHand * quantity,
    reservedChange: reserved * quantity,
  }));
}

async function run(request: FastifyRequest, type: string, changes: Change[], effect?: Effect) {
  const tenant = tenantOf(request.headers);
  const pairs = changes.map((change) => ({
    change,
    name: `${change.warehouse}:${change.product}`,
  }));
  pairs.sort((a, b) => (a.name < b.name ? -1 : 1));
  const names = pairs.map(({ name }) => `classic:${tenant}:${name}`);
  const sorted = pairs.map(({ change }) => change);
  const posted = await lock.hold(names, () => post(pool, tenant, keyOf(request), sorted, effect));
  const { reference = null } = (request.body ?? {}) as Body;
  return {
    id: posted.id,
    type,
    reference,
    recordedAt: posted.recordedAt.toISOString(),
    movements: posted.movements.map((movement) => ({
      ...movement,
      sequence: 0,
      available: movement.onHand - movement.reserved,
    })),
  };
}

const posting = { 201: PostingAnswer };
const reservation = { 201: ReservationAnswer };

app.post(
  '/v1/receipts',
  { schema: { body: Receipt, response: posting } },
  async (request, reply) => {
    const { warehouse, lines } = request.body as Body;
    reply.code(201);
    return run(request, 'receipt', changesOf(warehouse, lines, 1, 0));
  },
);

app.post(
  '/v1/shipments',
  { schema: { body: Shipment, response: posting } },
  async (request, reply) => {
    const { warehouse, lines } = request.body as Body;
    reply.code(201);
    return run(request, 'shipment', changesOf(warehouse, lines, -1, 0));
  },
);

app.post(
  '/v1/transfers',
  { schema: { body: Transfer, response: posting } },
  async (request, reply) => {
    const { from, to, lines } = request.body as Body;
    reply.code(201);
    const changes = [...changesOf(from, lines, -1, 0), ...changesOf(to, lines, 1, 0)];
    return run(request, 'transfer', changes);
  },
);

app.post(
  '/v1/reservations',
  { schema: { body: Reservation, response: reservation } },
  async (request, reply) => {
    const { warehouse, lines, reference = null } = request.body as Body;
    const effect = holdUnits(tenantOf(request.headers), warehouse, lines);
    const made = await run(request, 'reservation', changesOf(warehouse, lines, 0, 1), effect);
    const held = lines.map((line) => ({ ...line, shipped: 0, released: 0 }));
    const { id } = made;
    reply.code(201);
    return {
      id,
      status: 'active',
      warehouse,
      reference,
      expiresAt: null,
      lines: held,
      posting: made,
    };
  },
);

app.post(
  '/v1/reservations/:id/ship',
  { schema: { body: ReservationChange, response: reservation } },
  async (request, reply) => {
    const { id } = request.params as { id: string };
    const tenant = tenantOf(request.headers);
    const changes = await shipment(pool, tenant, id);
    const made = await run(request, 'reservation-ship', changes, shipUnits(tenant, id));
    const warehouse = changes[0]?.warehouse ?? '';
    const lines = changes.map(({ product, onHandChange }) => ({
      product,
      quantity: -onHandChange,
      shipped: -onHandChange,
      released: 0,
    }));
    reply.code(201);
    return {
      id,
      status: 'closed',
      warehouse,
      reference: null,
      expiresAt: null,
      lines,
      posting: made,
    };
  },
);

app.get(
  '/v1/stock/:warehouse/:product',
  { schema: { response: { 200: LevelAnswer } } },
  async (request) => {
    const { warehouse, product } = request.params as { warehouse: string; product: string };
    const values = [tenantOf(request.headers), warehouse, product];
    const level = (await pool.query({ ...findLevel, values })).rows[0];
    if (level === undefined) throw new Error(`no level ${warehouse} ${product}`);
    const { on_hand: onHand, reserved } = level;
    return { warehouse, product, onHand, reserved, available: onHand - reserved, sequence: 0 };
  },
);

const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`listening on ${url}\n`);
