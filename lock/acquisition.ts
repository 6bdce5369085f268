import type { Claim } from './driver.ts';
import { describeKeys, LockAborted, LockLost, LockTimeout } from './errors.ts';
import { fencingToken, type Grant } from './grant.ts';
import type { Wanted } from './options.ts';
import { Patience } from './patience.ts';
import type { Session } from './session.ts';
import type { Pass, Turnstile, Visitor } from './turnstile.ts';

/** Grants, and how to give them back. */
export interface Obtained {
  readonly grants: readonly Grant[];
  readonly token: bigint;
  readonly done: () => Promise<unknown>;
}

/** @returns the error that says whose wish it was to stop */
export function aborted(names: readonly string[], signal: AbortSignal): LockAborted {
  const cause = signal.reason;
  return new LockAborted(`waiting for ${describeKeys(names)} was aborted`, names, { cause });
}

/** @returns the error of a wait that was too long */
export function timedOut(names: readonly string[], waitMs: number): LockTimeout {
  return new LockTimeout(`${describeKeys(names)} not free within ${waitMs} ms`, names);
}

/** Waits for a turn among this process's own, see {@link Turnstile}. */
export function obtainLocally(
  turnstile: Turnstile,
  names: readonly string[],
  { waitMs, signal }: Wanted,
  deadline: number,
): Promise<Obtained> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    let armed = false;
    const disarm = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = () => {
      turnstile.leave(visitor);
      visitor.refuse(signal && aborted(names, signal));
    };
    const visitor: Visitor = {
      deadline,
      admit({ grant, token, done }: Pass) {
        if (armed) disarm();
        if (signal?.aborted) {
          void done();
          reject(aborted(names, signal));
        } else {
          resolve({ grants: [grant], token, done });
        }
      },
      refuse(error?: unknown) {
        if (armed) disarm();
        reject(error ?? timedOut(names, waitMs));
      },
      arm() {
        if (armed) return;
        armed = true;
        // The time may have been over while the server was first asked.
        const leftMs = Math.max(0, Math.ceil(visitor.deadline - performance.now()));
        timer = setTimeout(() => {
          turnstile.leave(visitor);
          visitor.refuse();
        }, leftMs);
        signal?.addEventListener('abort', onAbort);
        if (signal?.aborted) onAbort();
      },
    };
    turnstile.enter(visitor);
  });
}

/**
 * Obtains the groups of keys one after the other from the server, or none of them.
 *
 * The groups are in the same order for everybody, so two callers never wait for each other. Of
 * several groups the first may be nearly over when the last is there, so all are extended, and the
 * token of the lease, the highest of all, is made the floor of each.
 */
export async function obtainGroups(
  session: Session,
  claims: readonly Claim[],
  names: readonly string[],
  { waitMs, signal }: Wanted,
): Promise<Obtained> {
  const patience = new Patience(waitMs);
  const end = () => patience.end();
  signal?.addEventListener('abort', end);
  const grants: Grant[] = [];
  // Of a grant that is lost only what it took itself: its owner may have taken the keys again
  // since.
  const giveBack = (late: boolean) =>
    Promise.all(grants.map((grant) => session.giveBack(grant.claim, late || grant.lost)));
  try {
    for (const claim of claims) {
      const grant = await session.obtain(claim, patience);
      if (signal?.aborted) {
        if (grant) grants.push(grant);
        throw aborted(names, signal);
      }
      if (!grant) throw timedOut(names, waitMs);
      grants.push(grant);
    }
    const token = Math.max(...grants.map((grant) => grant.token));
    if (grants.length > 1) await extendAll(session, grants, token, names);
    return { grants, token: fencingToken({ token }, 0), done: () => giveBack(false) };
  } catch (error) {
    void giveBack(true);
    throw error;
  } finally {
    signal?.removeEventListener('abort', end);
  }
}

async function extendAll(
  session: Session,
  grants: readonly Grant[],
  token: number,
  names: readonly string[],
): Promise<void> {
  const extended = await Promise.all(grants.map((grant) => session.extend(grant, token)));
  if (!extended.includes(false)) return;
  throw new LockLost(`a part of ${describeKeys(names)} was lost while taking the rest`, names);
}
