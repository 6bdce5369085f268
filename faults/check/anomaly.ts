/** What each check stands for. */
export const checks = {
  'exactly-once':
    'an acknowledged command took effect once, a refused one not at all, others once at most',
  repeat: 'every repeat got the same status, headers and bytes',
  record: 'the database remembers the answer that was given',
  ledger: 'levels, ledger and hash chain agree',
  oversell: 'no stock below zero, nothing reserved that is not there',
  effect: 'a posting is what its command asks for, on the stock before it',
  order: 'each level has one history, in an order that agrees with real time',
  read: 'a read shows a state between its request and its answer',
  refusal: 'a refusal was right in some state between its request and its answer',
  clock: 'times come from the database’s clock',
  tenant: 'nothing crossed a tenant',
  misuse: 'a key stands for one request, and a wrong request is refused',
  reply:
    'what cannot be done just now is a 503 that says when to come again; no other failure, nothing unexpected',
  guard: 'no constraint of the database had to stop a batch',
  deadlock: 'no two batches waited for each other',
  verify: 'the service’s own proof of its ledger agrees',
  crash: 'no process of the service ended by itself',
  liveness: 'everything is settled within the stated time',
} as const;

export type CheckName = keyof typeof checks;

/** Something that a promise of the service rules out. */
export interface Anomaly {
  readonly check: CheckName;
  readonly message: string;
}

export type Report = (check: CheckName, message: string) => void;
