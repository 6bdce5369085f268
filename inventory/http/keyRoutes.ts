import type { Idempotency } from '@onhand/idempotency';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';

/** What a key can be; a name of any other kind was never one, and the database may not take it. */
const KEY = /^[\x21-\x7e]+$/;

/** What became of a request: for a client that does not know whether its command took effect. */
export function addKeyRoutes(app: FastifyInstance, idempotency: Idempotency): void {
  app.get<{ Params: { key: string } }>(
    '/v1/idempotency-keys/:key',
    {
      config: { role: 'reader', described: { refusals: ['not-found'] } },
      schema: {
        tags: ['Stock commands'],
        summary: 'What became of a request',
        description:
          'The key is named without the quotes that its header may have. 404: it has had no effect so far.',
        params: Type.Object({ key: Type.String({ minLength: 1, maxLength: 255 }) }),
        response: {
          200: Type.Object({
            key: Type.String(),
            status: Type.Enum(['in-flight', 'completed']),
            answer: Type.Optional(
              Type.Object({
                status: Type.Integer(),
                headers: Type.Record(Type.String(), Type.String()),
                body: Type.Unknown(),
              }),
            ),
          }),
        },
      },
    },
    async ({ params: { key }, principal }) => {
      const state = KEY.test(key) ? await idempotency.state(principal.tenant, key) : undefined;
      if (state === undefined) {
        throw new ApiError('not-found', 'No request with this key has taken effect so far.');
      }
      if (state === 'in-flight') return { key, status: state };
      const { status, headers, body } = state.completed.answer;
      return {
        key,
        status: 'completed',
        answer: { status, headers, body: JSON.parse(body.toString()) },
      };
    },
  );
}
