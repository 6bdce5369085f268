import type { Static, TObject } from 'typebox';
import { type Fault, validationFailed } from '../errors.ts';
import type { Command, CommandDetails, Expiry, QuantityLine } from '../stock/commands.ts';
import type { Refusal } from '../stock/outcomes.ts';
import * as schemas from './schemas.ts';
import { faultAt } from './validation.ts';

/** How one type of command is spoken over HTTP. */
export interface CommandKind {
  readonly type: Command['type'];
  /** The route; `{id}` stands for the target that it names. */
  readonly path: string;
  /** The name of the target in a batch, where no path can carry it. */
  readonly target?: 'reservation' | 'posting';
  readonly schema: TObject;
  readonly summary: string;
  /** What its decision may refuse. */
  readonly refusals: readonly Refusal['code'][];
  /** What else the description says of a body that `decode` takes. */
  readonly rule?: object;
  /** No body: all that the reservation holds. */
  readonly bodyOptional?: true;
  /**
   * @param body valid by `schema`
   * @param target the id from the path or the batch; '' for a kind without a target
   * @throws ApiError validation-failed for what a schema cannot say
   */
  decode(body: never, target: string): Command;
}

function kind<Schema extends TObject>(
  definition: Omit<CommandKind, 'schema' | 'decode'> & {
    schema: Schema;
    decode: (body: Static<Schema>, target: string) => Command;
  },
): CommandKind {
  return definition as unknown as CommandKind;
}

const unknown = ['unknown-warehouse', 'unknown-product'] as const;
const beyondLevels = ['insufficient-stock', 'quantity-overflow'] as const;
const inactive = ['not-found', 'reservation-closed', 'reservation-expired'] as const;

export const commandKinds: readonly CommandKind[] = [
  kind({
    type: 'receipt',
    path: '/v1/receipts',
    schema: schemas.Receipt,
    summary: 'Receive stock',
    refusals: [...unknown, 'quantity-overflow'],
    decode: ({ lines, warehouse, ...body }) => ({
      type: 'receipt',
      warehouse,
      lines: lines.map(({ product, quantity, unitCost }, index) =>
        unitCost === undefined
          ? { product, quantity }
          : { product, quantity, unitCost: decimal(unitCost, `/lines/${index}/unitCost`) },
      ),
      ...details(body),
    }),
  }),
  kind({
    type: 'shipment',
    path: '/v1/shipments',
    schema: schemas.Shipment,
    summary: 'Ship from available stock',
    refusals: [...unknown, ...beyondLevels],
    decode: ({ warehouse, lines, ...body }) => ({
      type: 'shipment',
      warehouse,
      lines,
      ...details(body),
    }),
  }),
  kind({
    type: 'transfer',
    path: '/v1/transfers',
    schema: schemas.Transfer,
    summary: 'Move stock between two warehouses',
    refusals: [...unknown, ...beyondLevels],
    decode: ({ from, to, lines, ...body }) => {
      if (from === to) throw invalid('/to', 'must be another warehouse than from');
      return { type: 'transfer', from, to, lines, ...details(body) };
    },
  }),
  kind({
    type: 'adjustment',
    path: '/v1/adjustments',
    schema: schemas.Adjustment,
    summary: 'Correct stock by a difference',
    refusals: [...unknown, ...beyondLevels],
    decode: ({ warehouse, reason, lines, ...body }) => ({
      type: 'adjustment',
      warehouse,
      reason,
      lines,
      ...details(body),
    }),
  }),
  kind({
    type: 'count',
    path: '/v1/counts',
    schema: schemas.Count,
    summary: 'Set stock to what was counted',
    refusals: [...unknown, 'stock-changed', ...beyondLevels],
    decode: ({ warehouse, lines, ...body }) => {
      refuseRepeatedProducts(lines);
      // -0 is a way to write 0.
      const counted = lines.map((line) => ({ ...line, counted: line.counted + 0 }));
      return { type: 'count', warehouse, lines: counted as never, ...details(body) };
    },
  }),
  kind({
    type: 'reservation',
    path: '/v1/reservations',
    schema: schemas.Reservation,
    summary: 'Hold available stock for an order',
    refusals: [...unknown, 'validation-failed', ...beyondLevels],
    rule: { not: { required: ['expiresAt', 'ttlSeconds'] } },
    decode: ({ warehouse, lines, ...body }) => ({
      type: 'reservation',
      warehouse,
      lines,
      ...expiry(body),
      ...details(body),
    }),
  }),
  kind({
    type: 'reservation-ship',
    path: '/v1/reservations/{id}/ship',
    target: 'reservation',
    schema: schemas.ReservationChange,
    summary: 'Ship what a reservation holds, all or part',
    refusals: [...inactive, 'unknown-product', ...beyondLevels],
    bodyOptional: true,
    decode: (body, reservation) => ({
      type: 'reservation-ship',
      reservation,
      ...optionalLines(body),
      ...details(body),
    }),
  }),
  kind({
    type: 'reservation-release',
    path: '/v1/reservations/{id}/release',
    target: 'reservation',
    schema: schemas.ReservationChange,
    summary: 'Give back what a reservation holds, all or part',
    refusals: [...inactive, 'unknown-product', ...beyondLevels],
    bodyOptional: true,
    decode: (body, reservation) => ({
      type: 'reservation-release',
      reservation,
      ...optionalLines(body),
      ...details(body),
    }),
  }),
  kind({
    type: 'reservation-extend',
    path: '/v1/reservations/{id}/extend',
    target: 'reservation',
    schema: schemas.ReservationExtension,
    summary: 'Let a reservation expire later',
    refusals: [...inactive, 'validation-failed'],
    rule: { oneOf: [{ required: ['expiresAt'] }, { required: ['ttlSeconds'] }] },
    decode: (body, reservation) => {
      const later = expiry(body);
      if (later.expiresAt === undefined && later.ttlSeconds === undefined) {
        throw invalid('/expiresAt', 'or ttlSeconds is required');
      }
      return { type: 'reservation-extend', reservation, ...later, ...details(body) };
    },
  }),
  kind({
    type: 'reversal',
    path: '/v1/postings/{id}/reverse',
    target: 'posting',
    schema: schemas.Reversal,
    summary: 'Undo a posting by its opposite, once',
    refusals: [...inactive, 'validation-failed', 'already-reversed', ...beyondLevels],
    decode: ({ reason, ...body }, posting) => ({
      type: 'reversal',
      posting,
      reason,
      ...details(body),
    }),
  }),
];

function details(body: CommandDetails): CommandDetails {
  const { reference, note, occurredAt, metadata } = body;
  const given: CommandDetails = {};
  if (reference !== undefined) given.reference = reference;
  if (note !== undefined) given.note = note;
  if (occurredAt !== undefined) given.occurredAt = new Date(occurredAt).toISOString();
  if (metadata !== undefined) {
    if (Buffer.byteLength(JSON.stringify(metadata)) > schemas.metadataBytesMax) {
      throw invalid('/metadata', `must be at most ${schemas.metadataBytesMax} bytes as JSON`);
    }
    given.metadata = metadata;
  }
  return given;
}

function expiry(body: { expiresAt?: string; ttlSeconds?: number }): Expiry {
  const { expiresAt, ttlSeconds } = body;
  if (expiresAt !== undefined && ttlSeconds !== undefined) {
    throw invalid('/ttlSeconds', 'must not be given together with expiresAt');
  }
  if (expiresAt !== undefined) return { expiresAt: Date.parse(expiresAt) };
  return ttlSeconds === undefined ? {} : { ttlSeconds };
}

function optionalLines(body: { lines?: QuantityLine[] }): { lines?: QuantityLine[] } {
  return body.lines === undefined ? {} : { lines: body.lines };
}

const DECIMAL = /^\d{1,13}(\.\d{1,6})?$/;

function decimal(value: string | number, pointer: string): string {
  const text = String(value);
  if (!DECIMAL.test(text)) throw invalid(pointer, 'must have at most six decimal places');
  return text;
}

function refuseRepeatedProducts(lines: readonly { product: string }[]): void {
  const seen = new Set<string>();
  const faults: Fault[] = [];
  lines.forEach(({ product }, index) => {
    if (seen.has(product)) faults.push(faultAt(`/lines/${index}/product`, 'is counted twice'));
    seen.add(product);
  });
  if (faults.length > 0) throw validationFailed(faults);
}

function invalid(pointer: string, detail: string): Error {
  return validationFailed([faultAt(pointer, detail)]);
}
