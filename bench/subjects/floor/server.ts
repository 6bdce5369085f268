/**
 * The least that a durable, idempotent receipt costs: the bare route, a claim in Redis, and the
 * rows that Onhand writes, by its own statements, in batches of one tenant that follow each other
 * as its do. A process of its own; DATABASE_URL; REDIS_URL, without which there are no claims;
 * prints where it listens.
 *
 * Left out is all that decides whether to answer so: no API key is looked up, no request compared
 * with the first of its key, no earlier answer read, nothing refused, chained, locked in Redis,
 * expired or measured. It is a ceiling for services that keep these rows, and none of them itself.
 */
import { randomUUID } from 'node:crypto';
import Fastify from 'fastify';
import { createClient } from 'redis';
import { jsonType, postingJson } from '../../../inventory/http/answers.ts';
import { PostingAnswer, Receipt } from '../../../inventory/http/schemas.ts';
import { validatorCompiler } from '../../../inventory/http/validation.ts';
import { uuidv7 } from '../../../inventory/pipeline/uuidv7.ts';
import { type BatchWrite, writeBatch } from '../../../inventory/postgres/batchWrite.ts';
import { openDatabase } from '../../../inventory/postgres/database.ts';
import type { StoredRecord } from '../../../inventory/postgres/loadContext.ts';
import { type LockedLevel, lockLevels } from '../../../inventory/postgres/lockLevels.ts';
import { run } from '../../../inventory/postgres/operation.ts';
import { Transaction } from '../../../inventory/postgres/transaction.ts';
import { readSettings } from '../../../inventory/settings.ts';
import type { Posting } from '../../../inventory/stock/outcomes.ts';
import { tenantOf } from '../../load/load.ts';

interface Body {
  readonly warehouse: string;
  readonly reference: string;
  readonly lines: readonly [{ readonly product: string; readonly quantity: number }];
}

interface Waiting {
  readonly key: string;
  readonly body: Body;
  readonly settle: (answer: StoredRecord) => void;
}

const [leaseMs, retainedMs] = ['10000', 86_400_000];
const noDigest = '00'.repeat(32);
/** What a posting of a receipt has none of. */
const none = {
  ...{ note: null, occurredAt: null, metadata: null, reason: null },
  ...{ reservation: null, reverses: null },
};
/** Onhand's defaults, so that both have as many connections and as large batches. */
const { databaseConnections, batchCommandsMax } = readSettings({});

const database = openDatabase({
  url: process.env.DATABASE_URL ?? '',
  connections: databaseConnections,
});
const { REDIS_URL: redisUrl } = process.env;
const redis = redisUrl === undefined ? undefined : createClient({ url: redisUrl });
await redis?.connect();

/** The receipts of one tenant. */
class Lane {
  readonly #tenant: string;
  #waiting: Waiting[] = [];
  /** From the beginning of a batch until its COMMIT is on its way. */
  #isLoading = false;
  /** The batch whose COMMIT is on its way: the next one follows on its connection. */
  #ahead: Transaction | undefined;

  constructor(tenant: string) {
    this.#tenant = tenant;
  }

  commit(key: string, body: Body): Promise<StoredRecord> {
    return new Promise((settle) => {
      this.#waiting.push({ key, body, settle });
      if (!this.#isLoading) this.#begin();
    });
  }

  /** After this turn of the event loop: what arrived together goes together. */
  #begin(): void {
    this.#isLoading = true;
    setImmediate(() => void this.#run());
  }

  /** A failure ends the process: a server that fails is not measured. */
  async #run(): Promise<void> {
    const batch = this.#waiting.splice(0, batchCommandsMax);
    const transaction = this.#ahead?.follow() ?? (await Transaction.open(database.writes));
    const levels = await lock(transaction, this.#tenant, batch);
    const write = effectsOf(this.#tenant, levels, batch);
    await transaction.commit(
      () => [run(transaction, writeBatch, write)],
      () => {
        this.#isLoading = false;
        this.#ahead = transaction;
        if (this.#waiting.length > 0) this.#begin();
      },
    );
    for (const [at, { settle }] of batch.entries()) settle(write.records[at] as StoredRecord);
  }
}

async function lock(
  transaction: Transaction,
  tenant: string,
  batch: readonly Waiting[],
): Promise<LockedLevel[]> {
  const products = new Set(batch.map(({ body }) => body.lines[0].product));
  const pairs = [...products].sort().map((product) => ({ warehouse: 'W1', product }));
  const issued = transaction.pipelined(
    () => [transaction.begin(), lockLevels(transaction, tenant, pairs)] as const,
  );
  return (await Promise.all(issued))[1];
}

function effectsOf(
  tenant: string,
  levels: readonly LockedLevel[],
  batch: readonly Waiting[],
): BatchWrite {
  const now = Date.now();
  const recordedAt = new Date(now).toISOString();
  const expiresAt = new Date(now + retainedMs).toISOString();
  const byProduct = new Map(levels.map((level) => [level.product, level]));
  const postings = batch.map(({ body }) => {
    const level = byProduct.get(body.lines[0].product) as LockedLevel;
    return postingOf(level, body, now);
  });
  const records = batch.map(({ key }, at) => recordOf(key, postings[at] as Posting));
  return { tenant, recordedAt, decidedAt: recordedAt, expiresAt, postings, levels, records };
}

function postingOf(level: LockedLevel, body: Body, recordedAt: number): Posting {
  const { warehouse, reference, lines } = body;
  const [{ product, quantity }] = lines;
  level.onHand += quantity;
  level.sequence += 1;
  const { onHand, reserved, sequence } = level;
  const change = { onHandChange: quantity, reservedChange: 0, unitCost: null, hash: noDigest };
  const movement = { warehouse, product, sequence, onHand, reserved, ...change };
  const id = uuidv7(recordedAt);
  return { ...none, id, type: 'receipt', reference, recordedAt, movements: [movement] };
}

function recordOf(key: string, posting: Posting): StoredRecord {
  const headers = { location: `/v1/postings/${posting.id}`, 'content-type': jsonType };
  const body = Buffer.from(JSON.stringify(postingJson(posting)));
  return { key, fingerprint: noDigest, status: 201, headers, body, expiresAt: 0 };
}

const lanes = new Map<string, Lane>();

async function receive(tenant: string, key: string, body: Body): Promise<StoredRecord> {
  if (redis !== undefined) {
    const claim = ['SET', `floor:${tenant}:${key}`, randomUUID(), 'NX', 'GET', 'PX', leaseMs];
    await redis.sendCommand(claim);
  }
  let lane = lanes.get(tenant);
  if (lane === undefined) {
    lane = new Lane(tenant);
    lanes.set(tenant, lane);
  }
  return lane.commit(key, body);
}

const asItIs = (text: unknown) => text as string;

const app = Fastify();
app.setValidatorCompiler(validatorCompiler as never);
app.post(
  '/v1/receipts',
  { schema: { body: Receipt, response: { 201: PostingAnswer } } },
  async (request, reply) => {
    const key = String(request.headers['idempotency-key']);
    const { headers, body } = await receive(tenantOf(request.headers), key, request.body as Body);
    reply.code(201).headers(headers);
    return reply.serializer(asItIs).send(body.toString());
  },
);
app.post('/v1/batches', async (request, reply) => {
  const { commands } = request.body as { commands: (Body & { idempotencyKey: string })[] };
  const tenant = tenantOf(request.headers);
  const records = await Promise.all(
    commands.map((command) => receive(tenant, command.idempotencyKey, command)),
  );
  const results = records.map(({ status, body }) => `{"status":${status},"body":${body}}`);
  reply.header('content-type', jsonType);
  return reply.serializer(asItIs).send(`{"results":[${results.join(',')}]}`);
});

const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`listening on ${url}\n`);
