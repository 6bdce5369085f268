import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/** What the system says of one process. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** User and system time so far, in seconds. */
  readonly cpu: number;
  /** The same of its children that ended; 0 where the system does not say. */
  readonly childrenCpu: number;
  /** Resident memory, in bytes. */
  readonly memory: number;
}

/** Clock ticks a second in /proc: fixed by Linux for user space (proc_pid_stat(5)). */
const ticksPerSecond = 100;
const pageBytes = 4_096;

/** All processes: from /proc on Linux, else from `ps`, which rounds to a hundredth of a second. */
export async function readProcesses(): Promise<Process[]> {
  if (!existsSync('/proc/self/stat')) return readPs();
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap(readStat);
}

function readStat(pid: string): Process[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return [];
  }
  // The name, field 2, may hold anything; it ends at the last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const field = (number: number) => Number(fields[number - 3]);
  return [
    {
      pid: Number(pid),
      parent: field(4),
      cpu: (field(14) + field(15)) / ticksPerSecond,
      childrenCpu: (field(16) + field(17)) / ticksPerSecond,
      memory: field(24) * pageBytes,
    },
  ];
}

/** What `ps` says: POSIX, so also on macOS. */
export async function readPs(): Promise<Process[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,rss=,time=']);
  return stdout
    .trim()
    .split('\n')
    .map((row) => {
      const [pid, parent, rss, time = ''] = row.trim().split(/\s+/);
      const cpu = time.split(/[:-]/).reduce((sum, part) => sum * 60 + Number(part), 0);
      const memory = Number(rss) * 1_024;
      return { pid: Number(pid), parent: Number(parent), cpu, childrenCpu: 0, memory };
    });
}

/** CPU seconds of some processes, each with its children, so far. */
export function cpuOf(all: readonly Process[], pids: readonly number[]): number {
  return all
    .filter((each) => pids.includes(each.pid) || pids.includes(each.parent))
    .reduce((sum, each) => sum + each.cpu + (pids.includes(each.pid) ? each.childrenCpu : 0), 0);
}

/** Resident bytes of some processes, without their children. */
export function memoryOf(all: readonly Process[], pids: readonly number[]): number {
  return all.filter(({ pid }) => pids.includes(pid)).reduce((sum, { memory }) => sum + memory, 0);
}
