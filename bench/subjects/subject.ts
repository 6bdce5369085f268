import type { Load, Measured } from '../load/load.ts';
import type { Server } from './server.ts';

export type SubjectName =
  | 'bare'
  | 'floor'
  | 'floor-memory'
  | 'floor-2'
  | 'floor-4'
  | 'onhand'
  | 'onhand-memory'
  | 'onhand-2'
  | 'onhand-4'
  | 'onhand-small'
  | 'onhand-large'
  | 'classic'
  | 'pgbench'
  | 'medusa';

/** Something that is measured. */
export interface Subject {
  readonly name: SubjectName;
  /** Its servers; none for pgbench. */
  readonly servers: readonly Server[];
  readonly redisPid?: number;
  /** Instead of an HTTP load. */
  readonly run?: (load: Load) => Promise<Measured>;
  /** Whether its books are right. One function for all subjects of a database. @throws when not */
  readonly check?: () => Promise<Checked>;
}

export interface Checked {
  readonly movements: number;
}

/** What a subject is, in a few words, for tables and charts. */
export const titles: Record<SubjectName, string> = {
  bare: 'bare Fastify route',
  floor: 'the least it takes',
  'floor-memory': 'the least it takes without Redis',
  'floor-2': 'the least it takes, 2 instances',
  'floor-4': 'the least it takes, 4 instances',
  onhand: 'Onhand',
  'onhand-memory': 'Onhand without Redis',
  'onhand-2': 'Onhand, 2 instances',
  'onhand-4': 'Onhand, 4 instances',
  'onhand-small': 'Onhand, small ledger',
  'onhand-large': 'Onhand, large ledger',
  classic: 'classic design',
  pgbench: 'pgbench',
  medusa: 'Medusa',
};
