import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { findPostings } from '../postgres/findPostings.ts';
import {
  findReservation,
  findReservations,
  fittingReservations,
  type ReservationRow,
} from '../postgres/findReservations.ts';
import type { ReservationStatus } from '../stock/stock.ts';
import { postingJson, reservationJson } from './answers.ts';
import { decodeCursor, pageLimit, pageOf, uuidOf } from './cursor.ts';
import {
  PostingAnswer,
  PostingParams,
  page,
  pageQuery,
  ReservationAnswer,
  ReservationParams,
} from './schemas.ts';

/** Reads of postings and reservations. */
export function addPostingRoutes(app: FastifyInstance, { reads }: Database): void {
  app.get<{ Params: { posting: string } }>(
    '/v1/postings/:posting',
    {
      config: { role: 'reader', described: { refusals: ['not-found'] } },
      schema: {
        tags: ['Stock'],
        summary: 'Read a posting',
        params: PostingParams,
        response: { 200: PostingAnswer },
      },
    },
    async ({ params, principal }) => {
      const id = uuidOf(params.posting);
      const found = id && (await findPostings(reads, principal.tenant, [id])).get(id);
      if (!found) throw new ApiError('not-found', `There is no posting ${params.posting}.`);
      return postingJson(found);
    },
  );

  app.get<{ Params: { reservation: string } }>(
    '/v1/reservations/:reservation',
    {
      config: { role: 'reader', described: { refusals: ['not-found'] } },
      schema: {
        tags: ['Stock'],
        summary: 'Read a reservation',
        params: ReservationParams,
        response: { 200: ReservationAnswer },
      },
    },
    async ({ params: { reservation }, principal }) => {
      const id = uuidOf(reservation);
      const row = id && (await findReservation(reads, principal.tenant, id));
      if (!row) throw new ApiError('not-found', `There is no reservation ${reservation}.`);
      const [json] = await withPostings([row], principal.tenant);
      return json;
    },
  );

  app.get<{ Querystring: { status?: ReservationStatus; limit?: number; cursor?: string } }>(
    '/v1/reservations',
    {
      config: { role: 'reader' },
      schema: {
        tags: ['Stock'],
        summary: 'List reservations, oldest first',
        description:
          'A page has `limit` reservations, or fewer where they have more than 4,000 lines together.',
        querystring: Type.Object(
          {
            status: Type.Optional(Type.Enum(['active', 'closed', 'expired'])),
            ...pageQuery,
          },
          { additionalProperties: false },
        ),
        response: { 200: page(ReservationAnswer) },
      },
    },
    async ({ query, principal }) => {
      const after = decodeCursor(query.cursor, ['uuid']) as [string] | undefined;
      const { items, next } = await pageOf(
        query.limit ?? pageLimit,
        (limit) => findReservations(reads, principal.tenant, query, { limit, after: after?.[0] }),
        (row) => row,
        (row) => [row.id],
        fittingReservations,
      );
      return { items: await withPostings(items, principal.tenant), next };
    },
  );

  /** Each reservation with the posting that made it. */
  async function withPostings(rows: readonly ReservationRow[], tenant: string) {
    const ids = rows.map(({ postingId }) => postingId);
    const postings = await findPostings(reads, tenant, ids);
    return rows.map((row) => {
      const posting = postings.get(row.postingId);
      if (posting === undefined) throw new Error(`reservation ${row.id} has no posting`);
      return reservationJson(row, postingJson(posting), row.now);
    });
  }
}
