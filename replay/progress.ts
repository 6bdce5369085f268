import type { MemoryWatch } from './memory.ts';
import { count } from './proof.ts';
import type { Tally } from './tally.ts';

export interface ProgressOptions {
  readonly tally: Tally;
  /** Invoices to decide. */
  readonly total: number;
  readonly memory: MemoryWatch | undefined;
  readonly out: NodeJS.WriteStream;
}

/** A bar that moves smoothly, and lines that do not flood a log. */
const barEveryMs = 200;
const lineEveryMs = 5_000;
const sampleEveryMs = 1_000;
const barWidth = 30;

/**
 * Shows how far the run is: a bar on a terminal, else a line every few seconds. Samples the
 * service's memory as it goes.
 * @returns the function that ends it
 */
export function showProgress({ tally, total, memory, out }: ProgressOptions): () => void {
  const startedAt = performance.now();
  const sample = () => memory?.sample(tally.decided);
  const show = () => {
    const text = progressLine(tally, total, (performance.now() - startedAt) / 1_000, memory);
    if (out.isTTY) out.write(`\r${bar(tally.decided, total)} ${text}\u001b[K`);
    else out.write(`${text}\n`);
  };
  sample();
  show();
  const sampling = setInterval(sample, sampleEveryMs);
  const timer = setInterval(show, out.isTTY ? barEveryMs : lineEveryMs);
  return () => {
    clearInterval(timer);
    clearInterval(sampling);
    sample();
    show();
    if (out.isTTY) out.write('\n');
  };
}

function progressLine(
  { decided, movements, refusals }: Tally,
  total: number,
  seconds: number,
  memory: MemoryWatch | undefined,
): string {
  const refused = [...refusals.values()].reduce((sum, each) => sum + each, 0);
  const parts = [
    `${count(decided)} of ${count(total)} invoices`,
    `${count(movements)} movements`,
    `${count(Math.round(decided / Math.max(seconds, 0.001)))}/s`,
  ];
  if (refused > 0) parts.push(`${count(refused)} refused`);
  if (memory !== undefined) parts.push(`service ${Math.round(memory.residentMiB)} MiB`);
  return parts.join(' · ');
}

function bar(done: number, total: number): string {
  const filled = total === 0 ? barWidth : Math.floor((done * barWidth) / total);
  return `[${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}]`;
}
