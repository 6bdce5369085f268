import { write, writeSync } from 'node:fs';

export interface LogStreamOptions {
  /** What lines that wait may hold, in characters. Default 1,048,576. */
  readonly charactersMax?: number;
}

/** How long a pipe that is full is left alone, where writing to it does not wait. */
const retryMs = 100;

/**
 * Writes log lines to a file descriptor, behind the work that they tell of.
 *
 * A log must not stop a service. Lines are dropped while their disk is full, their reader is gone
 * or slower than they come; how many is said in front of the next line that can be written.
 */
export class LogStream {
  readonly #fd: number;
  readonly #charactersMax: number;
  #waiting: string[] = [];
  #characters = 0;
  #dropped = 0;
  #endsWithinLine = false;
  #state: 'idle' | 'scheduled' | 'writing' = 'idle';

  constructor(fd: number, options: LogStreamOptions = {}) {
    this.#fd = fd;
    this.#charactersMax = options.charactersMax ?? 1_048_576;
    process.on('exit', () => this.#writeLast());
  }

  /** Lines that were dropped and not told of yet. */
  get dropped(): number {
    return this.#dropped;
  }

  /** @param line with its line feed; one of JSON, as pino makes them */
  write(line: string): void {
    if (this.#characters + line.length > this.#charactersMax) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(line);
    this.#characters += line.length;
    if (this.#state === 'idle') this.#schedule();
  }

  /** The lines of one turn of the event loop are one write. */
  #schedule(): void {
    this.#state = 'scheduled';
    setImmediate(() => {
      this.#state = 'writing';
      const lines = this.#waiting.length + this.#dropped;
      this.#write(this.#take(), lines);
    });
  }

  #take(): Buffer {
    const text = `${this.#endsWithinLine ? '\n' : ''}${this.#notice()}${this.#waiting.join('')}`;
    this.#waiting = [];
    this.#characters = 0;
    this.#dropped = 0;
    return Buffer.from(text);
  }

  #notice(): string {
    if (this.#dropped === 0) return '';
    const msg = `${this.#dropped} log lines could not be written`;
    return `${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, msg })}\n`;
  }

  #write(bytes: Buffer, lines: number): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') {
        setTimeout(() => this.#write(bytes, lines), retryMs);
        return;
      }
      if (error === null && written < bytes.length) {
        this.#endsWithinLine = true;
        this.#write(bytes.subarray(written), lines);
        return;
      }
      if (error === null) this.#endsWithinLine = false;
      else this.#dropped += lines;
      if (this.#waiting.length > 0) this.#schedule();
      else this.#state = 'idle';
    });
  }

  /**
   * What is being written already ends before the process does, here perhaps behind what follows
   * it.
   */
  #writeLast(): void {
    if (this.#waiting.length === 0) return;
    try {
      writeSync(this.#fd, this.#take());
    } catch {
      // Nobody is left to tell.
    }
  }
}
