import { type KeyState, LockError, type Locks } from '@onhand/lock';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';
import { lockResource, tenantLocks } from '../pipeline/lockResource.ts';
import type { Database } from '../postgres/database.ts';
import { insertLockRelease } from '../postgres/insertLockRelease.ts';
import { Reason } from './schemas.ts';

const LockAnswer = Type.Object({
  resource: Type.String({ description: '`product_warehouse:<product>:<warehouse>`' }),
  holder: Type.String({ description: 'Names the process and its batch.' }),
  ageMs: Type.Union([Type.Integer(), Type.Null()]),
  remainingMs: Type.Integer({ description: 'Until the lease ends, if it is not renewed.' }),
  waiters: Type.Array(Type.String()),
});

/** The locks of the tenant's product-warehouse pairs. Releasing one by force risks only speed. */
export function addLockRoutes(
  app: FastifyInstance,
  { database, locks }: { database: Database; locks: Locks },
): void {
  app.get(
    '/v1/locks',
    {
      config: { role: 'admin', described: { refusals: ['lock-server-unavailable'] } },
      schema: {
        tags: ['Administration'],
        summary: 'List the locks that are held',
        response: {
          200: Type.Object({ items: Type.Array(LockAnswer), next: Type.Null() }),
        },
      },
    },
    async ({ principal: { tenant } }) => {
      const held = await asked(locks.list(tenantLocks(tenant)));
      return { items: held.map((state) => lockJson(tenant, state)), next: null };
    },
  );

  app.delete<{
    Params: { resource: string };
    Querystring: { reason?: string };
    Body: { reason?: string };
  }>(
    '/v1/locks/:resource',
    {
      config: {
        role: 'admin',
        described: { bodyOptional: true, refusals: ['not-found', 'lock-server-unavailable'] },
      },
      preValidation: (request, _reply, done) => {
        if (request.body === undefined) request.body = {};
        done();
      },
      schema: {
        tags: ['Administration'],
        summary: 'Release a lock by force',
        description: 'Who, when and why is written down. `reason` is a parameter or in the body.',
        params: Type.Object({ resource: Type.String({ maxLength: 512 }) }),
        querystring: Type.Object(
          { reason: Type.Optional(Reason) },
          { additionalProperties: false },
        ),
        body: Type.Object({ reason: Type.Optional(Reason) }, { additionalProperties: false }),
        response: { 200: LockAnswer },
      },
    },
    async ({ params: { resource }, query, body, principal: { tenant, name: releasedBy } }) => {
      const reason = query.reason ?? body.reason ?? 'not given';
      const name = lockResource(tenant, resource);
      if ((await asked(locks.inspect(name))).mode === 'free') {
        throw new ApiError('not-found', `Nobody holds the lock ${resource}.`);
      }
      // Written down first: a release that nobody knows of would be worse than a note too many.
      await insertLockRelease(database.reads, tenant, { resource, reason, releasedBy });
      const released = await asked(locks.forceRelease(name, { reason }));
      return lockJson(tenant, released);
    },
  );
}

/** Locks are looked at on their server; without it there is nothing to tell. */
async function asked<Result>(question: Promise<Result>): Promise<Result> {
  try {
    return await question;
  } catch (error) {
    if (error instanceof LockError) {
      throw new ApiError('lock-server-unavailable', 'Redis does not answer.');
    }
    throw error;
  }
}

function lockJson(tenant: string, { key, holders, remainingMs, waiters }: KeyState) {
  const [holder] = holders;
  const at = key.indexOf(tenantLocks(tenant));
  return {
    resource: key.slice(at + tenantLocks(tenant).length),
    holder: holder?.owner ?? '',
    ageMs: holder?.heldMs === undefined ? null : Math.round(holder.heldMs),
    remainingMs: Math.round(remainingMs),
    waiters,
  };
}
