/** The error of a command that was not answered in time; it may still have taken effect. */
export class RedisTimeout extends Error {
  constructor(timeoutMs: number) {
    super(`Redis did not answer within ${timeoutMs} ms.`);
    this.name = 'RedisTimeout';
  }
}

interface Pending {
  since: number;
  fail: (error: Error) => void;
}

/**
 * Bounds many calls in time with one timer, since a timer per call costs as much as the call.
 *
 * There is nothing to close: the timer keeps no process alive, and runs out once no call is
 * pending.
 */
export class Deadlines {
  private readonly timeoutMs: number;
  /** In the order in which they began. */
  private readonly pending = new Set<Pending>();
  private isArmed = false;
  private drain: PromiseWithResolvers<void> | undefined;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
  }

  bound<T>(call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending: Pending = { since: performance.now(), fail: reject };
      this.pending.add(pending);
      if (!this.isArmed) this.arm(pending);
      call.then(
        (value) => {
          this.end(pending);
          resolve(value);
        },
        (error) => {
          this.end(pending);
          reject(error);
        },
      );
    });
  }

  /** Resolves once no call is pending: within `timeoutMs`. */
  drained(): Promise<void> {
    if (this.pending.size === 0) return Promise.resolve();
    this.drain ??= Promise.withResolvers();
    return this.drain.promise;
  }

  private end(pending: Pending): boolean {
    const isPending = this.pending.delete(pending);
    if (this.pending.size === 0) {
      this.drain?.resolve();
      this.drain = undefined;
    }
    return isPending;
  }

  /** Sets the timer to when the call that began first is late. */
  private arm({ since }: Pending): void {
    this.isArmed = true;
    // Rounded up, for a timer that fires early finds nothing late.
    const leftMs = Math.ceil(since + this.timeoutMs - performance.now());
    setTimeout(() => this.check(), leftMs).unref();
  }

  private check(): void {
    this.isArmed = false;
    const limit = performance.now() - this.timeoutMs;
    const late: Pending[] = [];
    for (const pending of this.pending) {
      if (pending.since > limit) {
        this.arm(pending);
        break;
      }
      late.push(pending);
    }
    if (late.length === 0) return;
    // After a pause of this process the replies lie in the socket: read them before judging.
    setImmediate(() => {
      for (const pending of late) {
        if (this.end(pending)) pending.fail(new RedisTimeout(this.timeoutMs));
      }
    });
  }
}
