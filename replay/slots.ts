/** Bounds how much runs at once. The first failure ends it: nothing further starts. */
export class Slots {
  readonly #max: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Starts the work when a slot is free, and returns then, not when it is done.
   * @throws the first failure of earlier work
   */
  async run(work: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#max) await Promise.race(this.#running);
    if (this.#failure) throw this.#failure.error;
    const running: Promise<void> = work()
      .catch((error) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Waits until nothing runs. Never throws. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Waits until nothing runs. @throws the first failure */
  async drained(): Promise<void> {
    await this.settled();
    if (this.#failure) throw this.#failure.error;
  }
}
