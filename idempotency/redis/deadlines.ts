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
          this.pending.delete(pending);
          resolve(value);
        },
        (error) => {
          this.pending.delete(pending);
          reject(error);
        },
      );
    });
  }

  private check(): void {
    const limit = performance.now() - this.timeoutMs;
    const late = [...this.pending].filter((pending) => pending.since <= limit);
    if (this.pending.size > 0) this.timer.refresh();
    if (late.length === 0) return;
    // After a pause of this process the replies lie in the socket: read them before judging.
    setImmediate(() => {
      for (const pending of late) {
        if (this.pending.delete(pending)) pending.fail(new RedisTimeout(this.timeoutMs));
      }
    });
  }
}
