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
 * A call fails between one and two `timeoutMs` after it began. There is nothing to close: the timer
 * keeps no process alive, and runs only while a call is pending.
 */
export class Deadlines {
  private readonly timeoutMs: number;
  private readonly pending = new Set<Pending>();
  private readonly timer: NodeJS.Timeout;
  private drain: PromiseWithResolvers<void> | undefined;

  constructor(timeoutMs: number) {
    this.timeoutMs = timeoutMs;
    this.timer = setTimeout(() => this.check(), timeoutMs).unref();
  }

  bound<T>(call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending: Pending = { since: performance.now(), fail: reject };
      if (this.pending.size === 0) this.timer.refresh();
      this.pending.add(pending);
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

  /** Resolves once no call is pending: within two `timeoutMs`. */
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

  private check(): void {
    const limit = performance.now() - this.timeoutMs;
    const late = [...this.pending].filter((pending) => pending.since <= limit);
    if (this.pending.size > 0) this.timer.refresh();
    if (late.length === 0) return;
    // After a pause of this process the replies lie in the socket: read them before judging.
    setImmediate(() => {
      for (const pending of late) {
        if (this.end(pending)) pending.fail(new RedisTimeout(this.timeoutMs));
      }
    });
  }
}
