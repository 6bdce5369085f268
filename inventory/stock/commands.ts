/** What a caller may ask of the stock. The shape is validated before it arrives here (`http/`). */

/** Carried to the posting unchanged; the domain never looks inside. */
export interface CommandDetails {
  reference?: string;
  note?: string;
  /** RFC 3339, as the caller wrote it. */
  occurredAt?: string;
  metadata?: Record<string, string>;
}

/** `quantity` is in whole base units, 1 … 9 007 199 254 740 991. */
export interface QuantityLine {
  product: string;
  quantity: number;
}

export interface ReceiptLine extends QuantityLine {
  /** Decimal text, kept as it is and hashed with the movement. */
  unitCost?: string;
}

export interface AdjustmentLine {
  product: string;
  /** Whole base units, up or down, never 0. */
  change: number;
}

export interface CountLine {
  product: string;
  /** What is on the shelf, 0 … 9 007 199 254 740 991. */
  counted: number;
  /** Refuse the count (`stock-changed`) unless the level still stands here. */
  expectedOnHand?: number;
  expectedSequence?: number;
}

/** At most one of the two; `expiresAt` wins where both are given. */
export interface Expiry {
  /** Milliseconds since the epoch. */
  expiresAt?: number;
  ttlSeconds?: number;
}

export interface ReceiptCommand extends CommandDetails {
  type: 'receipt';
  warehouse: string;
  lines: ReceiptLine[];
}

export interface ShipmentCommand extends CommandDetails {
  type: 'shipment';
  warehouse: string;
  lines: QuantityLine[];
}

export interface TransferCommand extends CommandDetails {
  type: 'transfer';
  from: string;
  to: string;
  lines: QuantityLine[];
}

export interface AdjustmentCommand extends CommandDetails {
  type: 'adjustment';
  warehouse: string;
  reason: string;
  lines: AdjustmentLine[];
}

export interface CountCommand extends CommandDetails {
  type: 'count';
  warehouse: string;
  lines: CountLine[];
}

export interface ReservationCommand extends CommandDetails, Expiry {
  type: 'reservation';
  warehouse: string;
  lines: QuantityLine[];
}

export interface ReservationShipCommand extends CommandDetails {
  type: 'reservation-ship';
  reservation: string;
  /** Absent: everything still held. */
  lines?: QuantityLine[];
}

export interface ReservationReleaseCommand extends CommandDetails {
  type: 'reservation-release';
  reservation: string;
  /** Absent: everything still held. */
  lines?: QuantityLine[];
}

export interface ReservationExtendCommand extends CommandDetails, Expiry {
  type: 'reservation-extend';
  reservation: string;
}

export interface ReversalCommand extends CommandDetails {
  type: 'reversal';
  posting: string;
  reason: string;
}

export type Command =
  | ReceiptCommand
  | ShipmentCommand
  | TransferCommand
  | AdjustmentCommand
  | CountCommand
  | ReservationCommand
  | ReservationShipCommand
  | ReservationReleaseCommand
  | ReservationExtendCommand
  | ReversalCommand;
