import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** What the requests of a scenario are. */
export interface Requests {
  readonly kind:
    | 'receipt'
    | 'shipment'
    | 'transfer'
    | 'reservation'
    | 'replay'
    | 'batch'
    | 'tenants'
    | 'read';
  readonly pick: 'uniform' | 'hot' | 'zipf';
  /** Lines of a command. */
  readonly lines: number;
}

/** One load on one subject. */
export interface Load {
  readonly requests: Requests;
  /** `http://127.0.0.1:<port>`; connections are spread evenly. */
  readonly targets: readonly string[];
  /** Kept open; each sends its next request when it has the answer. */
  readonly connections: number;
  /** Whole seconds. */
  readonly seconds: number;
  /** Mean pause of a connection before its next request, whole milliseconds; 0 = none. */
  readonly delayMs: number;
  /** Prefix of the idempotency keys, unique in the life of the databases. */
  readonly run: string;
  readonly seed: number;
}

/** What a load measured. Latencies in microseconds, from request sent to answer complete. */
export interface Measured {
  readonly seconds: number;
  /** All answers, refused ones included. */
  readonly answers: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Answers while the meters ran, where some of them are not counted above. */
  readonly metered?: number;
  /** Answers of 400 and above. */
  readonly refused: number;
  /** Connections, reads and writes that failed, and requests without an answer in time. */
  readonly broken: number;
}

/** The world that every subject is seeded with and every load knows. */
export const world = {
  /** `SKU-0001` … of tenant `demo`, in warehouses W1 and W2. */
  products: 1_000,
  /** `t0001` …, each with warehouse W1. */
  tenants: 1_000,
  tenantProducts: 10,
  /** Keys that a replay repeats. */
  replays: 1_000,
  batchCommands: 100,
  /** pgbench takes no exponent of 1 or less. */
  zipfExponent: 1.1,
  /** Before the tenant in an API key. */
  secret: 'bench-secret-for-',
} as const;

export function productCode(number: number): string {
  return `SKU-${String(number).padStart(4, '0')}`;
}

export function tenantName(number: number): string {
  return `t${String(number).padStart(4, '0')}`;
}

/** The tenant of `Bearer bench-secret-for-<tenant>`, for servers that look no API key up. */
export function tenantOf({ authorization = '' }: { authorization?: string | undefined }): string {
  return authorization.slice('Bearer '.length + world.secret.length);
}

/** A replayed request; the load repeats it byte for byte. @param at 1 … world.replays */
export function replayed(at: number): { key: string; body: string } {
  const product = productCode(((at - 1) % world.products) + 1);
  const line = `"lines":[{"product":"${product}","quantity":1}]}`;
  return { key: `replay-${at}`, body: `{"warehouse":"W1","reference":"PO-1",${line}` };
}

/** A program on PATH, or undefined. */
export function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
