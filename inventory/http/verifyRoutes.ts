import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Database } from '../postgres/database.ts';
import { verifyLedger } from '../postgres/verifyLedger.ts';

/** The proof of the ledger. */
export function addVerifyRoutes(app: FastifyInstance, { reads }: Database): void {
  // One proof at a time: it keeps a connection busy for as long as the ledger is long, and other reads
  // need the rest.
  let turn: Promise<unknown> = Promise.resolve();
  app.get(
    '/v1/verify',
    {
      config: { role: 'admin' },
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
    ({ principal }) => {
      const proof = turn.then(() => verifyLedger(reads, principal.tenant));
      turn = proof.catch(() => {});
      return proof;
    },
  );
}
