/**
 * Medusa's inventory module with its Redis lock behind the receipts route of the others. A process
 * of its own; DATABASE_URL, REDIS_URL (a socket's path), MEDUSA_FOLDER; prints where it listens.
 *
 * Each line holds the lock of its item while it is adjusted, as Medusa's own workflows do. There is
 * no idempotency key and no ledger.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import Fastify from 'fastify';
import { PostingAnswer, Receipt } from '../../../inventory/http/schemas.ts';
import { validatorCompiler } from '../../../inventory/http/validation.ts';
import { productCode, world } from '../../load/load.ts';

interface Inventory {
  createInventoryItems(items: { sku: string }[]): Promise<{ id: string; sku: string }[]>;
  createInventoryLevels(levels: object[]): Promise<unknown>;
  adjustInventory(changes: object[]): Promise<{ stocked_quantity: number }[]>;
}
interface Locking {
  execute<T>(keys: string[], work: () => Promise<T>): Promise<T>;
}
interface MedusaModules {
  MedusaApp(options: object): Promise<{
    modules: { inventory: Inventory; locking: Locking };
    runMigrations(): Promise<void>;
  }>;
}

const { DATABASE_URL = '', REDIS_URL = '', MEDUSA_FOLDER = '' } = process.env;
const require = createRequire(path.join(MEDUSA_FOLDER, 'package.json'));
const { MedusaApp } = require('@medusajs/framework/modules-sdk') as MedusaModules;

const database = {
  clientUrl: DATABASE_URL,
  driverOptions: {
    // It reads a socket's folder from nowhere else.
    connection: { host: new URL(DATABASE_URL).searchParams.get('host'), ssl: false },
    pool: { min: 2, max: 24 },
  },
};
const redisLocking = {
  resolve: require.resolve('@medusajs/locking-redis'),
  id: 'locking-redis',
  is_default: true,
  options: { redisUrl: REDIS_URL },
};
const { modules, runMigrations } = await MedusaApp({
  cwd: MEDUSA_FOLDER,
  modulesConfig: {
    inventory: { resolve: require.resolve('@medusajs/inventory'), options: { database } },
    locking: {
      resolve: require.resolve('@medusajs/locking'),
      options: { providers: [redisLocking] },
    },
  },
  sharedResourcesConfig: { database },
  injectedDependencies: {},
});
await runMigrations();
const { inventory, locking } = modules;
const codes = Array.from({ length: world.products }, (_, at) => productCode(at + 1));
const items = await inventory.createInventoryItems(codes.map((sku) => ({ sku })));
const levels = items.map(({ id }) => ({
  inventory_item_id: id,
  location_id: 'W1',
  stocked_quantity: 1_000_000,
}));
await inventory.createInventoryLevels(levels);
const itemIds = new Map(items.map(({ sku, id }) => [sku, id]));

interface Line {
  product: string;
  quantity: number;
}

async function receive(warehouse: string, { product, quantity }: Line) {
  const inventoryItemId = itemIds.get(product) ?? '';
  const change = { inventoryItemId, locationId: warehouse, adjustment: quantity };
  const [level] = await locking.execute([inventoryItemId], () =>
    inventory.adjustInventory([change]),
  );
  const onHand = Number(level?.stocked_quantity ?? 0);
  return {
    warehouse,
    product,
    sequence: 0,
    onHandChange: quantity,
    reservedChange: 0,
    onHand,
    reserved: 0,
    available: onHand,
  };
}

const app = Fastify();
app.setValidatorCompiler(validatorCompiler as never);
app.post(
  '/v1/receipts',
  { schema: { body: Receipt, response: { 201: PostingAnswer } } },
  async (request, reply) => {
    const body = request.body as { warehouse: string; reference?: string; lines: Line[] };
    const movements = [];
    for (const line of body.lines) movements.push(await receive(body.warehouse, line));
    reply.code(201);
    return {
      id: crypto.randomUUID(),
      type: 'receipt',
      reference: body.reference ?? null,
      recordedAt: new Date().toISOString(),
      movements,
    };
  },
);

const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`listening on ${url}\n`);
