import type { Requests } from './load/load.ts';
import type { SubjectName } from './subjects/subject.ts';

/** What is asked of whom, with how many connections. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly requests: Requests;
  readonly connections: readonly number[];
  readonly subjects: readonly SubjectName[];
  /** Rows of the ledger that one request adds; 0 where it adds none. */
  readonly movements: number;
  /** Whether latency is measured at half of each subject's full rate as well. */
  readonly half?: boolean;
  /** Left out unless named or in a full run. */
  readonly isLong?: boolean;
}

const receipt = (pick: Requests['pick']): Requests => ({ kind: 'receipt', pick, lines: 1 });
const uniform = (kind: Requests['kind'], lines = 1): Requests => ({ kind, pick: 'uniform', lines });

const all = [
  ...(['bare', 'floor', 'floor-memory', 'onhand', 'onhand-memory'] as const),
  ...(['classic', 'pgbench', 'medusa'] as const),
];
const three = ['bare', 'onhand', 'classic'] as const;
const instances = ['onhand', 'onhand-2', 'onhand-4', 'floor', 'floor-2', 'floor-4'] as const;

/** In the order in which they run and are reported. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'uniform',
    title: 'Single-line receipts over 1,000 products',
    requests: receipt('uniform'),
    connections: [128],
    subjects: all,
    movements: 1,
    half: true,
  },
  {
    name: 'hot',
    title: 'Single-line receipts of one hot product',
    requests: receipt('hot'),
    connections: [128],
    subjects: all,
    movements: 1,
    half: true,
  },
  {
    name: 'zipf',
    title: 'Single-line receipts, products by Zipf’s law',
    requests: receipt('zipf'),
    connections: [128],
    subjects: ['bare', 'onhand', 'classic', 'pgbench'],
    movements: 1,
    isLong: true,
  },
  {
    name: 'orders',
    title: 'Shipments of 5 lines',
    requests: uniform('shipment', 5),
    connections: [128],
    subjects: three,
    movements: 5,
    isLong: true,
  },
  {
    name: 'transfers',
    title: 'Transfers between two warehouses, both ways',
    requests: uniform('transfer'),
    connections: [128],
    subjects: three,
    movements: 2,
    isLong: true,
  },
  {
    name: 'reservations',
    title: 'Reserve, then ship',
    requests: uniform('reservation'),
    connections: [128],
    subjects: three,
    movements: 1,
    isLong: true,
  },
  {
    name: 'replays',
    title: 'Repeats of 1,000 known keys',
    requests: uniform('replay'),
    connections: [128],
    subjects: three,
    movements: 0,
  },
  {
    name: 'batches',
    title: 'Batches of 100 receipts',
    requests: uniform('batch'),
    // 6,400 commands in flight; 128 connections would be more than a service queues by default.
    connections: [64],
    subjects: ['bare', 'floor', 'onhand'],
    movements: 100,
  },
  {
    name: 'tenants',
    title: 'Receipts of 1,000 tenants in turn',
    requests: uniform('tenants'),
    connections: [128],
    subjects: ['bare', 'floor', 'onhand', 'classic'],
    movements: 1,
  },
  {
    name: 'reads',
    title: 'Reads of one level',
    requests: uniform('read'),
    connections: [128],
    subjects: three,
    movements: 0,
    isLong: true,
  },
  {
    name: 'instances',
    title: 'Receipts over 1,000 products of one tenant, several instances',
    requests: receipt('uniform'),
    connections: [128],
    subjects: instances,
    movements: 1,
  },
  {
    name: 'instances-hot',
    title: 'Receipts of one hot product, several instances',
    requests: receipt('hot'),
    connections: [128],
    subjects: instances,
    movements: 1,
  },
  {
    name: 'idle',
    title: 'One connection, one request at a time',
    requests: receipt('uniform'),
    connections: [1],
    subjects: ['bare', 'floor', 'onhand', 'classic', 'pgbench'],
    movements: 1,
  },
  {
    name: 'connections',
    title: 'Receipts over 1,000 products, more and fewer connections',
    requests: receipt('uniform'),
    connections: [16, 64, 512],
    subjects: ['bare', 'onhand', 'classic', 'pgbench'],
    movements: 1,
    isLong: true,
  },
  {
    name: 'connections-hot',
    title: 'Receipts of one hot product, more and fewer connections',
    requests: receipt('hot'),
    connections: [16, 64, 512],
    subjects: ['bare', 'onhand', 'classic', 'pgbench'],
    movements: 1,
    isLong: true,
  },
  {
    name: 'ledger',
    title: 'Receipts over 1,000 products on a large ledger',
    requests: receipt('uniform'),
    connections: [128],
    subjects: ['onhand-small', 'onhand-large'],
    movements: 1,
    isLong: true,
  },
];
