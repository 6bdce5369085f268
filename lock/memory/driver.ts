import type {
  Attempt,
  Claim,
  DriverContext,
  DriverFactory,
  KeyState,
  LockDriver,
} from '../driver.ts';
import { Board } from './board.ts';

/** One memory shared by all drivers made from one call of {@link memoryDriver}. */
interface Memory {
  readonly board: Board;
  readonly clients: Map<string, DriverContext['onGrant']>;
}

/**
 * Locks within one process: for tests, and where no server is at hand. All locks that are to
 * exclude each other must be made with the same driver.
 */
export function memoryDriver(): DriverFactory {
  let memory: Memory | undefined;
  return (context) => {
    memory ??= createMemory(context.aliveMs);
    return new MemoryDriver(memory, context);
  };
}

function createMemory(aliveMs: number): Memory {
  const clients: Memory['clients'] = new Map();
  const board = new Board(
    {
      now: () => performance.now(),
      clockToken: () => Date.now() * 1_000,
      reachable: (client) => clients.has(client),
      wake: (client, owner, token) => queueMicrotask(() => clients.get(client)?.(owner, token)),
    },
    aliveMs,
  );
  return { board, clients };
}

class MemoryDriver implements LockDriver {
  readonly #memory: Memory;
  readonly #context: DriverContext;

  constructor(memory: Memory, context: DriverContext) {
    this.#memory = memory;
    this.#context = context;
    memory.clients.set(context.client, context.onGrant);
  }

  async acquire(claim: Claim, wait: boolean): Promise<Attempt> {
    const attempt = this.#memory.board.acquire(claim, wait ? this.#context.client : undefined);
    return 'token' in attempt
      ? { granted: true, token: attempt.token }
      : { granted: false, retryMs: attempt.leftMs, queued: wait };
  }

  async extend(claim: Claim): Promise<boolean> {
    return this.#memory.board.extend(claim);
  }

  async release(claim: Claim, late = false): Promise<boolean> {
    const { board } = this.#memory;
    return board.release(claim, late ? claim.sending : undefined) === claim.keys.length;
  }

  async forceRelease(key: string): Promise<boolean> {
    return this.#memory.board.forceRelease(key);
  }

  async inspect(keys: readonly string[]): Promise<KeyState[]> {
    return keys.map((key) => this.#state(key));
  }

  async *list(start: string): AsyncGenerator<string[]> {
    const { board } = this.#memory;
    const all = [...board.holders.keys()];
    yield all.filter(
      (key) => key.startsWith(`${this.#context.prefix}:${start}`) && board.holdersOf(key),
    );
  }

  async close(): Promise<void> {
    this.#memory.clients.delete(this.#context.client);
  }

  #state(key: string): KeyState {
    const { board } = this.#memory;
    const held = board.holdersOf(key);
    const waiters = [...(board.queues.get(key) ?? [])];
    if (!held) return { key, mode: 'free', holders: [], remainingMs: 0, waiters };
    const heldMs = Math.max(0, Date.now() - Math.floor(held.token / 1_000));
    return {
      key,
      mode: held.mode,
      holders: [...held.until.keys()].map((owner) => ({
        owner,
        heldMs: held.mode === 'exclusive' ? heldMs : undefined,
      })),
      remainingMs: Math.max(...held.until.values()) - performance.now(),
      waiters,
    };
  }
}
