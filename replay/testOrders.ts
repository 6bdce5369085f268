import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Cleanup, environment, makeTestFolder } from '../fixtures/index.ts';
import { LEASH } from '../fixtures/leash.ts';

/** An order history of every kind of invoice that a real one has, the same for the same count. */
export function ordersCsv(count: number): string {
  const lines = Array.from({ length: count }, (_, index) => orderLine(index));
  return `invoice,invoiced_at,units,stock_codes\n${lines.join('\n')}\n`;
}

const CODES = ['85123A', '85123a', 'BANK CHARGES', 'gift_0001_20', '21730', '22752', '71053'];

function orderLine(index: number): string {
  const codes = Array.from(
    { length: 1 + ((index * 5) % 9) },
    (_, line) => CODES[(index * 3 + line * line) % CODES.length],
  );
  const units = codes.length + ((index * 7) % 23);
  const isCancelled = index % 6 === 5;
  const isWrittenOff = index % 17 === 3;
  const invoice = `${isCancelled ? 'C' : ''}${536_365 + index}`;
  const signed = isCancelled || isWrittenOff ? -units : units;
  return `${invoice},2010-12-01T08:26:00Z,${signed},${codes.join(' ')}`;
}

/** Writes the history into a folder of the test's own. @returns the file */
export function writeOrders(cleanup: Cleanup, content: string): string {
  const file = path.join(makeTestFolder(cleanup), 'orders.csv');
  writeFileSync(file, content);
  return file;
}

/** A run of the command in a process of its own. */
export interface ReplayRun {
  readonly pid: number;
  /** Both streams so far. */
  output(): string;
  signal(name: NodeJS.Signals): void;
  /** Resolves at its end with the exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;
}

const MAIN = path.join(import.meta.dirname, 'main.ts');

export function runReplayCommand(
  cleanup: Cleanup,
  args: string[],
  env: Record<string, string> = {},
): ReplayRun {
  const child = spawn(process.execPath, [...LEASH, MAIN, ...args], {
    env: { ...environment, ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
    });
  }
  const ended = new Promise<number | string>((resolve) =>
    child.once('close', (code, signal) => resolve(signal ?? code ?? -1)),
  );
  cleanup.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const signal = (name: NodeJS.Signals) => void child.kill(name);
  return { pid: child.pid ?? 0, output: () => text, signal, ended };
}
