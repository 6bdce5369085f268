import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Memory {
  /** Resident set, in MiB. */
  readonly residentMiB: number;
  /** The most it ever was, as far as the system tells; in MiB. */
  readonly peakMiB: number;
}

/** The memory of a process: from /proc, else from `ps`, which knows no peak. */
export function memoryOf(pid: number): Memory | undefined {
  return fromProc(pid) ?? fromPs(pid);
}

function fromProc(pid: number): Memory | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const mebibytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
    const memory = { residentMiB: mebibytes('VmRSS'), peakMiB: mebibytes('VmHWM') };
    return memory.peakMiB > 0 ? memory : undefined;
  } catch {
    return undefined;
  }
}

function fromPs(pid: number): Memory | undefined {
  try {
    const output = execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { stdio: 'pipe' });
    const residentMiB = Number(output.toString()) / 1024;
    return residentMiB > 0 ? { residentMiB, peakMiB: residentMiB } : undefined;
  } catch {
    return undefined;
  }
}

/** Follows a process's memory over a run; keeps one sample per tenth of the invoices. */
export class MemoryWatch {
  readonly #pid: number;
  readonly #total: number;
  /** MiB after 0, 10, … 100 % of the invoices; shorter when the run was. */
  readonly tenthsMiB: number[] = [];
  peakMiB = 0;
  residentMiB = 0;

  constructor(pid: number, total: number) {
    this.#pid = pid;
    this.#total = total;
  }

  /** @param done invoices so far */
  sample(done: number): void {
    const memory = memoryOf(this.#pid);
    if (memory === undefined) return;
    this.residentMiB = memory.residentMiB;
    this.peakMiB = Math.max(this.peakMiB, memory.peakMiB);
    const tenth = this.#total === 0 ? 0 : Math.floor((done * 10) / this.#total);
    while (this.tenthsMiB.length <= tenth) this.tenthsMiB.push(memory.residentMiB);
  }
}
