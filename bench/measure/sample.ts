import type { Load, Measured } from '../load/load.ts';

/** Runs a load and ends with what the client saw. */
export type RunLoad = (load: Load) => Promise<Measured>;

/** CPU seconds so far, by whose it is. */
export interface Cpu {
  readonly service: number;
  readonly postgres: number;
  readonly redis: number;
  readonly load: number;
}

/** One measurement of one subject. */
export interface Sample extends Measured {
  /** From 1. */
  readonly round: number;
  /** Answers of 2xx in a second. */
  readonly rate: number;
  /** CPU microseconds of an answer. */
  readonly cpu: Cpu;
  /** Resident bytes of its servers, after the load. */
  readonly memory: number;
  /** Bytes of write-ahead log per movement; null where the scenario adds none. */
  readonly walPerMovement: number | null;
}
