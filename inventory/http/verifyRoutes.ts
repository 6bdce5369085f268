import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { ApiError } from '../errors.ts';
import type { Database } from '../postgres/database.ts';
import { type LedgerReport, verifyLedger } from '../postgres/verifyLedger.ts';

/** A proof that has not begun, for all who have asked for it by then. */
interface Waiting {
  sockets: readonly Socket[];
  readonly report: Promise<LedgerReport>;
}

/**
 * The proof of the ledger.
 *
 * One at a time: it keeps a connection busy for as long as the ledger is long, and other reads need
 * the rest. Who asks while a proof of the tenant waits for its turn shares it, so that a tenant
 * holds up nobody for longer than one proof. One that nobody waits for any more ends with its page.
 */
export function addVerifyRoutes(app: FastifyInstance, { reads }: Database): void {
  const waiting = new Map<string, Waiting>();
  let turn: Promise<unknown> = Promise.resolve();
  let stopping = false;
  app.addHook('preClose', (done) => {
    stopping = true;
    done();
  });
  function prove(tenant: string, socket: Socket): Promise<LedgerReport> {
    const checkWanted = () => {
      if (stopping) throw new ApiError('overloaded', 'The service is stopping.');
      if (proof.sockets.every(({ destroyed }) => destroyed)) {
        throw new ApiError('overloaded', 'The client has hung up.');
      }
    };
    const report = turn.then(() => {
      waiting.delete(tenant);
      return verifyLedger(reads, tenant, checkWanted);
    });
    const proof: Waiting = { sockets: [socket], report };
    waiting.set(tenant, proof);
    turn = report.catch(() => {});
    return report;
  }
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
    ({ principal: { tenant }, socket }) => {
      const shared = waiting.get(tenant);
      if (shared === undefined) return prove(tenant, socket);
      shared.sockets = [...shared.sockets.filter(({ destroyed }) => !destroyed), socket];
      return shared.report;
    },
  );
}
