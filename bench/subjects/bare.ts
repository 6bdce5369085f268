/**
 * The ceiling: Fastify with the schemas of Onhand's API and nothing behind them. A process of its
 * own; prints where it listens.
 */
import Fastify from 'fastify';
import { type TSchema, Type } from 'typebox';
import {
  LevelAnswer,
  PostingAnswer,
  Receipt,
  Reservation,
  ReservationAnswer,
  ReservationChange,
  Shipment,
  Transfer,
} from '../../inventory/http/schemas.ts';
import { validatorCompiler } from '../../inventory/http/validation.ts';

interface Line {
  product: string;
  quantity: number;
}
interface Body {
  warehouse?: string;
  from?: string;
  to?: string;
  reference?: string;
  lines?: Line[];
}

const id = '0199a1b2-c3d4-7e5f-8a9b-0123456789ab';
const recordedAt = '2026-11-23T10:00:00.000Z';
const app = Fastify();
app.setValidatorCompiler(validatorCompiler as never);

function movement(warehouse: string, { product, quantity }: Line) {
  return {
    warehouse,
    product,
    sequence: 8,
    onHandChange: quantity,
    reservedChange: 0,
    onHand: 1_000_000_015,
    reserved: 2,
    available: 1_000_000_013,
  };
}

function posting(type: string, { warehouse, from, to, reference = '', lines = [] }: Body) {
  const at = from === undefined || to === undefined ? [warehouse ?? 'W1'] : [from, to];
  const movements = at.flatMap((each) => lines.map((line) => movement(each, line)));
  return { id, type, reference, recordedAt, movements };
}

function reservation(status: string, body: Body) {
  const lines = (body.lines ?? []).map((line) => ({ ...line, shipped: 0, released: 0 }));
  const { warehouse = 'W1', reference = null } = body;
  const made = posting('reservation', body);
  return { id, status, warehouse, reference, expiresAt: null, lines, posting: made };
}

const line = { product: 'SKU-0001', quantity: 1 };

function addCommand(path: string, body: TSchema, answer: TSchema, make: (body: Body) => unknown) {
  app.post(path, { schema: { body, response: { 201: answer } } }, (request, reply) => {
    reply
      .code(201)
      .header('location', `/v1/postings/${id}`)
      .send(make(request.body as Body));
  });
}

addCommand('/v1/receipts', Receipt, PostingAnswer, (body) => posting('receipt', body));
addCommand('/v1/shipments', Shipment, PostingAnswer, (body) => posting('shipment', body));
addCommand('/v1/transfers', Transfer, PostingAnswer, (body) => posting('transfer', body));
addCommand('/v1/reservations', Reservation, ReservationAnswer, (body) =>
  reservation('active', body),
);
addCommand('/v1/reservations/:id/ship', ReservationChange, ReservationAnswer, () =>
  reservation('closed', { lines: [line] }),
);

const entry = Type.Object({}, { additionalProperties: true });
app.post(
  '/v1/batches',
  {
    schema: {
      body: Type.Object({ commands: Type.Array(entry) }),
      response: {
        200: Type.Object({
          results: Type.Array(Type.Object({ status: Type.Integer(), body: PostingAnswer })),
        }),
      },
    },
  },
  (request, reply) => {
    const { commands } = request.body as { commands: Body[] };
    const results = commands.map((each) => ({ status: 201, body: posting('receipt', each) }));
    reply.send({ results });
  },
);

app.get(
  '/v1/stock/:warehouse/:product',
  { schema: { response: { 200: LevelAnswer } } },
  (request, reply) => {
    const { warehouse, product } = request.params as { warehouse: string; product: string };
    reply.header('etag', '"8"').send(movement(warehouse, { product, quantity: 0 }));
  },
);

const url = await app.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(`listening on ${url}\n`);
