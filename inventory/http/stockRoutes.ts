import type { FastifyInstance } from 'fastify';
import type pg from 'pg';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { findCatalogue } from '../postgres/findCatalogue.ts';
import { findLevelAt, findLevels, type LevelRow } from '../postgres/findLevels.ts';
import {
  findMovements,
  type MovementCursor,
  type MovementFilter,
  type MovementRow,
} from '../postgres/findMovements.ts';
import { LevelReader } from '../postgres/levelReader.ts';
import type { Pair } from '../stock/stock.ts';
import { movementJson } from './answers.ts';
import { decodeCursor, pageLimit, pageOf, uuidOf } from './cursor.ts';
import type { RouteDescription } from './describeOperation.ts';
import { Code, DateTime, LevelAnswer, MovementAnswer, page, pageQuery } from './schemas.ts';

interface PageQuery {
  limit?: number;
  cursor?: string;
}

/** Reads of levels and movements. */
export function addStockRoutes(app: FastifyInstance, database: Database): void {
  addLevelList(app, database);
  addLevel(app, database);
  addMovementList(app, database);
}

function addLevelList(app: FastifyInstance, { reads }: Database): void {
  app.get<{ Querystring: PageQuery & { warehouse?: string; product?: string } }>(
    '/v1/stock',
    {
      config: { role: 'reader' },
      schema: {
        tags: ['Stock'],
        summary: 'List levels by warehouse and product',
        querystring: Type.Object(
          { warehouse: Type.Optional(Code), product: Type.Optional(Code), ...pageQuery },
          { additionalProperties: false },
        ),
        response: { 200: page(LevelAnswer) },
      },
    },
    ({ query, principal }) => {
      const after = decodeCursor(query.cursor, ['text', 'text']) as [string, string] | undefined;
      return pageOf(
        query.limit ?? pageLimit,
        (limit) =>
          findLevels(reads, principal.tenant, query, {
            limit,
            after: after && { warehouse: after[0], product: after[1] },
          }),
        levelJson,
        ({ warehouse, product }) => [warehouse, product],
      );
    },
  );
}

const levelDescription: RouteDescription = {
  refusals: ['unknown-warehouse', 'unknown-product'],
  parameters: [
    {
      name: 'If-None-Match',
      in: 'header',
      required: false,
      description: 'ETags that the caller knows, or `*`.',
      schema: { type: 'string' },
    },
  ],
  answers: { 200: { headers: ['ETag'] }, 304: { headers: ['ETag'] } },
};

function addLevel(app: FastifyInstance, { reads }: Database): void {
  const levels = new LevelReader(reads);
  app.get<{ Params: Pair; Querystring: { at?: string } }>(
    '/v1/stock/:warehouse/:product',
    {
      config: { role: 'reader', described: levelDescription },
      schema: {
        tags: ['Stock'],
        summary: 'Read one level, now or at a time',
        description:
          '`ETag` is the sequence; `If-None-Match` is answered with 304, except from the end of a reservation on until the next command on the level advances its sequence: its units are available meanwhile. With `at`, the level as the ledger had it then.',
        params: Type.Object({ warehouse: Code, product: Code }),
        querystring: Type.Object({ at: Type.Optional(DateTime) }, { additionalProperties: false }),
        response: { 200: LevelAnswer },
      },
    },
    async ({ params, query, principal, headers }, reply) => {
      // In UTC, for PostgreSQL takes offsets up to 15 hours only.
      const at = query.at === undefined ? undefined : new Date(query.at).toISOString();
      const level = await readLevel(reads, levels, principal.tenant, params, at);
      const etag = `"${level.sequence}"`;
      reply.header('etag', etag);
      // A hold that ends changes the level before its sequence, which only the next command
      // advances.
      const isBooked = level.reserved === level.reservedInLedger;
      if (isKnown(headers['if-none-match'], isBooked ? etag : undefined)) {
        return reply.code(304).send();
      }
      return levelJson(level);
    },
  );
}

/**
 * Whether a caller has what it asks for, by the weak comparison that RFC 9110, section 13.1.2 has
 * for `If-None-Match`.
 * @param etag undefined when no tag stands for what would be answered
 */
function isKnown(field: string | undefined, etag: string | undefined): boolean {
  if (field === undefined) return false;
  const named = field.split(',').map((text) => text.trim().replace(/^W\//, ''));
  return named.some((text) => text === '*' || text === etag);
}

/** @throws ApiError unknown-warehouse, unknown-product */
async function readLevel(
  reads: pg.Pool,
  levels: LevelReader,
  tenant: string,
  pair: Pair,
  at: string | undefined,
): Promise<LevelRow> {
  const level =
    at === undefined ? await levels.find(tenant, pair) : await findLevelAt(reads, tenant, pair, at);
  if (level !== undefined) return level;
  const { warehouse, product } = pair;
  const known = await findCatalogue(reads, tenant, [warehouse], [product]);
  if (known.warehouses.length === 0) {
    const detail = `Warehouse ${warehouse} is not registered.`;
    throw new ApiError('unknown-warehouse', detail, { warehouse });
  }
  if (known.products.length === 0) {
    const detail = `Not registered: ${product}.`;
    throw new ApiError('unknown-product', detail, { products: [product] });
  }
  return { warehouse, product, onHand: 0, reserved: 0, reservedInLedger: 0, sequence: 0 };
}

function levelJson({ warehouse, product, onHand, reserved, sequence }: LevelRow) {
  return { warehouse, product, onHand, reserved, available: onHand - reserved, sequence };
}

const MovementItem = Type.Object({
  ...MovementAnswer.properties,
  posting: Type.String({ format: 'uuid' }),
  recordedAt: DateTime,
  hash: Type.String({ description: 'SHA-256 over this movement and the hash before it, hex.' }),
});

function addMovementList(app: FastifyInstance, { reads }: Database): void {
  app.get<{ Querystring: PageQuery & MovementFilter }>(
    '/v1/movements',
    {
      config: { role: 'reader' },
      schema: {
        tags: ['Stock'],
        summary: 'List movements, oldest first',
        description:
          'With `warehouse` or `product`: by level, then sequence. Else in the order of postings.',
        querystring: Type.Object(
          {
            warehouse: Type.Optional(Code),
            product: Type.Optional(Code),
            posting: Type.Optional(Type.String({ maxLength: 255 })),
            ...pageQuery,
          },
          { additionalProperties: false },
        ),
        response: { 200: page(MovementItem) },
      },
    },
    async ({ query, principal }) => {
      const filter = { ...query };
      if (query.posting !== undefined) {
        const posting = uuidOf(query.posting);
        if (posting === undefined) return { items: [], next: null };
        filter.posting = posting;
      }
      const after = movementCursor(query.cursor);
      return pageOf(
        query.limit ?? pageLimit,
        (limit) => findMovements(reads, principal.tenant, filter, { limit, after }),
        movementItem,
        (row) => [row.warehouse, row.product, row.sequence, row.posting, row.position],
      );
    },
  );
}

function movementCursor(cursor: string | undefined): MovementCursor | undefined {
  const parts = decodeCursor(cursor, ['text', 'text', 'bigint', 'uuid', 'integer']);
  if (parts === undefined) return undefined;
  const [warehouse, product, sequence, posting, position] = parts as [
    string,
    string,
    number,
    string,
    number,
  ];
  return { warehouse, product, sequence, posting, position };
}

function movementItem(row: MovementRow): Record<string, unknown> {
  const { posting, recordedAt, hash } = row;
  return { ...movementJson(row), posting, recordedAt: recordedAt.toISOString(), hash };
}
