import type { FastifyInstance } from 'fastify';
import { type TSchema, Type } from 'typebox';
import { ApiError } from '../errors.ts';
import {
  type CatalogueKind,
  type CatalogueRow,
  findCatalogueEntry,
  listCatalogueEntries,
  putCatalogueEntry,
} from '../postgres/catalogueEntries.ts';
import type { Database } from '../postgres/database.ts';
import { decodeCursor, pageLimit, pageOf } from './cursor.ts';
import { Code, DateTime, Name, page, pageQuery } from './schemas.ts';

interface EntryBody {
  name?: string | null;
  allowBackorder?: boolean;
}

const optionalName = Type.Optional(Type.Union([Name, Type.Null()]));

const KINDS: Record<CatalogueKind, { path: string; tag: string; body: TSchema; answer: TSchema }> =
  {
    warehouse: {
      path: '/v1/warehouses',
      tag: 'Catalogue',
      body: Type.Object({ name: optionalName }, { additionalProperties: false }),
      answer: entryAnswer('warehouse', {}),
    },
    product: {
      path: '/v1/products',
      tag: 'Catalogue',
      body: Type.Object(
        {
          name: optionalName,
          allowBackorder: Type.Optional(
            Type.Boolean({ description: 'Stock may go below zero. Default false.' }),
          ),
        },
        { additionalProperties: false },
      ),
      answer: entryAnswer('product', { allowBackorder: Type.Boolean() }),
    },
  };

function entryAnswer(kind: CatalogueKind, more: Record<string, TSchema>): TSchema {
  return Type.Object(
    {
      [kind]: Code,
      name: Type.Union([Type.String(), Type.Null()]),
      ...more,
      createdAt: DateTime,
      updatedAt: DateTime,
    },
    { title: kind === 'warehouse' ? 'Warehouse' : 'Product' },
  );
}

/** Warehouses and products: PUT is idempotent by itself, so it needs no key. */
export function addCatalogueRoutes(app: FastifyInstance, database: Database): void {
  addKind(app, database, 'warehouse');
  addKind(app, database, 'product');
}

function addKind(app: FastifyInstance, database: Database, kind: CatalogueKind): void {
  const { path, tag, body, answer } = KINDS[kind];
  const params = Type.Object({ code: Code });
  const unknown = (code: string) =>
    new ApiError(`unknown-${kind}`, `${kind} ${code} is not registered.`, {
      ...(kind === 'warehouse' ? { warehouse: code } : { products: [code] }),
    });

  app.put<{ Params: { code: string }; Body: EntryBody | undefined }>(
    `${path}/:code`,
    {
      config: {
        role: 'writer',
        described: { bodyOptional: true, answers: { 201: { headers: ['Location'] } } },
      },
      preValidation: (request, _reply, done) => {
        // No body says as much as an empty one; null is a body, and the wrong one.
        if (request.body === undefined) request.body = {};
        done();
      },
      schema: {
        tags: [tag],
        summary: `Register or replace a ${kind}`,
        params,
        body,
        response: { 200: answer, 201: answer },
      },
    },
    async ({ params: { code }, body: given, principal }, reply) => {
      const { row, created } = await putCatalogueEntry(database.reads, principal.tenant, kind, {
        code,
        name: given?.name ?? null,
        allowBackorder: given?.allowBackorder ?? false,
      });
      if (created) reply.code(201).header('location', `${path}/${code}`);
      return entryJson(kind, row);
    },
  );

  app.get<{ Params: { code: string } }>(
    `${path}/:code`,
    {
      config: { role: 'reader', described: { refusals: [`unknown-${kind}`] } },
      schema: { tags: [tag], summary: `Read a ${kind}`, params, response: { 200: answer } },
    },
    async ({ params: { code }, principal }) => {
      const row = await findCatalogueEntry(database.reads, principal.tenant, kind, code);
      if (row === undefined) throw unknown(code);
      return entryJson(kind, row);
    },
  );

  app.get<{ Querystring: { limit?: number; cursor?: string } }>(
    path,
    {
      config: { role: 'reader' },
      schema: {
        tags: [tag],
        summary: `List ${kind}s by code`,
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: page(answer) },
      },
    },
    ({ query, principal }) => {
      const after = decodeCursor(query.cursor, ['text']) as [string] | undefined;
      return pageOf(
        query.limit ?? pageLimit,
        (limit) =>
          listCatalogueEntries(database.reads, principal.tenant, kind, {
            limit,
            after: after?.[0],
          }),
        (row) => entryJson(kind, row),
        (row) => [row.code],
      );
    },
  );
}

function entryJson(kind: CatalogueKind, row: CatalogueRow): Record<string, unknown> {
  const { code, name, allowBackorder, createdAt, updatedAt } = row;
  const json: Record<string, unknown> = { [kind]: code, name };
  if (kind === 'product') json.allowBackorder = allowBackorder;
  return { ...json, createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() };
}
