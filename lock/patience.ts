/** How long somebody is willing to wait, and a way to stop the waiting early. */
export class Patience {
  #until: number;
  #ended = false;
  #wake: (() => void) | undefined;
  /** Called before each sleep. */
  onSleep: (() => void) | undefined;

  /** @param ms from now */
  constructor(ms: number) {
    this.#until = performance.now() + ms;
  }

  /** In ms; 0 when it is over. */
  leftMs(): number {
    return this.#ended ? 0 : Math.max(0, this.#until - performance.now());
  }

  /** Waits longer, where `ms` from now is later than before. */
  prolong(ms: number): void {
    this.#until = Math.max(this.#until, performance.now() + ms);
  }

  end(): void {
    this.#ended = true;
    this.wake();
  }

  /** Ends the current {@link sleep}, if there is one. */
  wake(): void {
    this.#wake?.();
  }

  /** Sleeps until woken, but no longer than `ms`, nor than patience lasts. */
  sleep(ms: number): Promise<void> {
    this.onSleep?.();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, Math.ceil(Math.min(ms, this.leftMs())));
      this.#wake = done;
    });
  }
}
