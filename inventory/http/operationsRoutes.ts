import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';

export interface Readiness {
  /**
   * Whether the database has this code's migrations. Rejects when it is out of reach or takes no
   * writes.
   */
  checkDatabase(): Promise<boolean>;
  isDegraded(): boolean;
  isStopping(): boolean;
}

/**
 * Whoever asks shares an address with others: their rate must not make a sound process look sick.
 */
const unlimited = { rateLimit: false } as const;

/** `/healthz`: the process. `/readyz`: whether it can do its work. */
export function addOperationsRoutes(app: FastifyInstance, readiness: Readiness): void {
  app.get(
    '/healthz',
    {
      config: unlimited,
      schema: {
        tags: ['Operations'],
        summary: 'Whether the process answers',
        response: { 200: Type.Object({ status: Type.Literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      config: {
        ...unlimited,
        described: { refusals: ['overloaded', 'database-unavailable'] },
      },
      schema: {
        tags: ['Operations'],
        summary: 'Whether the service can do its work',
        description:
          '503 when the database is out of reach, takes no writes or its migrations are not current, and while the service stops. `degraded` names what is gone and only costs speed.',
        response: {
          200: Type.Object({
            status: Type.Literal('ready'),
            degraded: Type.Array(Type.String()),
          }),
        },
      },
    },
    async () => {
      if (readiness.isStopping()) throw new ApiError('overloaded', 'The service is stopping.');
      const isMigrated = await readiness.checkDatabase();
      if (!isMigrated) {
        throw new ApiError('database-unavailable', 'The migrations are not current.');
      }
      return { status: 'ready', degraded: readiness.isDegraded() ? ['redis'] : [] };
    },
  );
}
