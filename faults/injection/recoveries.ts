/** A fault that has healed. */
export interface Healed {
  readonly healedAt: number;
  /**
   * From healing until each instance that it could touch has acknowledged a command that was sent
   * afterwards; undefined: not measured.
   */
  recoveryMs?: number;
}

/** Measures how long the instances take after faults until they work again. */
export class Recoveries {
  readonly #waiting = new Map<Healed, Set<number>>();

  wait(fault: Healed, instances: readonly number[]): void {
    this.#waiting.set(fault, new Set(instances));
  }

  /** An instance acknowledged a command at `at`, which had been sent at `sentAt`. */
  noteAnswer(instance: number, sentAt: number, at: number): void {
    for (const [fault, instances] of this.#waiting) {
      if (sentAt < fault.healedAt || !instances.delete(instance) || instances.size > 0) continue;
      fault.recoveryMs = at - fault.healedAt;
      this.#waiting.delete(fault);
    }
  }

  /** Nothing is asked of the instances for a while. */
  stop(): void {
    this.#waiting.clear();
  }
}
