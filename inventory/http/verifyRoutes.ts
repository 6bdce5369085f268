import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { verifyLedger } from '../postgres/verifyLedger.ts';

/**
 * The proof of the ledger.
 *
 * One at a time: it keeps a connection busy for as long as the ledger is long, and other reads need
 * the rest. A tenant has one place in the queue, so it holds up nobody for longer than one proof, and
 * the queue is never longer than there are tenants. A proof that nobody waits for any more ends with
 * its page.
 */
export function addVerifyRoutes(app: FastifyInstance, { reads }: Database): void {
  const underWay = new Set<string>();
  let turn: Promise<unknown> = Promise.resolve();
  let stopping = false;
  app.addHook('preClose', (done) => {
    stopping = true;
    done();
  });
  app.get(
    '/v1/verify',
    {
      config: { role: 'admin', described: { refusals: ['overloaded'] } },
      schema: {
        tags: ['Administration'],
        summary: 'Prove the ledger',
        description:
          'Every level is the sum of its movements, sequences have no gap, the hash chain holds. 200 also when it finds faults.',
        response: {
          200: Type.Object({
            valid: Type.Boolean(),
            levels: Type.Integer(),
            movements: Type.Integer(),
            faults: Type.Array(
              Type.Object({
                fault: Type.String(),
                warehouse: Type.String(),
                product: Type.String(),
                sequence: Type.Union([Type.Integer(), Type.Null()]),
              }),
            ),
          }),
        },
      },
    },
    async ({ principal: { tenant }, socket }) => {
      if (underWay.has(tenant)) {
        throw new ApiError('overloaded', 'A proof of this ledger is under way.');
      }
      const checkWanted = () => {
        if (stopping) throw new ApiError('overloaded', 'The service is stopping.');
        if (socket.destroyed) throw new ApiError('overloaded', 'The client has hung up.');
      };
      underWay.add(tenant);
      const proof = turn
        .then(() => verifyLedger(reads, tenant, checkWanted))
        .finally(() => underWay.delete(tenant));
      turn = proof.catch(() => {});
      return proof;
    },
  );
}
