/** One lease as its holder saw it; times in ns on the clock of the machine. */
export interface Held {
  readonly worker: string;
  readonly token: bigint;
  /** The first and the last instant at which the holder was sure to hold it. */
  from: bigint;
  to: bigint;
}

/** Reads what a worker wrote: lines of token and time. A line cut off by a kill is left out. */
export function readHistory(worker: string, text: string): Held[] {
  const leases = new Map<bigint, Held>();
  for (const line of text.split('\n').slice(0, -1)) {
    const [token = '', time = ''] = line.split(' ');
    const at = BigInt(time);
    const known = leases.get(BigInt(token));
    if (known) known.to = at;
    else leases.set(BigInt(token), { worker, token: BigInt(token), from: at, to: at });
  }
  return [...leases.values()];
}

/**
 * Says what is wrong with a history: two leases at one time, unless Redis lost its data after the
 * first was granted, and tokens that do not rise with time.
 * @param losses when Redis lost its data, ns
 * @param leaseMs a lease that a loss may concern began at most so long before it
 */
export function findFaults(
  history: readonly Held[],
  losses: readonly bigint[],
  leaseMs: number,
): string[] {
  const faults: string[] = [];
  const ordered = history.toSorted((a, b) => (a.from < b.from ? -1 : 1));
  let highest: Held | undefined;
  let open: Held[] = [];
  for (const next of ordered) {
    if (highest && next.token <= highest.token) {
      faults.push(`${describe(next)} has no higher token than ${describe(highest)}`);
    } else {
      highest = next;
    }
    open = open.filter(({ to }) => to >= next.from);
    for (const other of open) {
      const since = other.from - BigInt(leaseMs) * 1_000_000n;
      const excused = losses.some((loss) => loss >= since && loss <= next.from);
      if (!excused) faults.push(`${describe(other)} and ${describe(next)} at one time`);
    }
    open.push(next);
  }
  return faults;
}

function describe({ worker, token, from, to }: Held): string {
  return `lease ${token} of ${worker} (${from}–${to})`;
}
