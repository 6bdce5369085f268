import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * A name for a running process that its successor under the same pid does not share.
 *
 * Pids are reused, and in a container the same few come back at every start, so a pid alone proves
 * nothing. Linux: boot id and start tick (proc(5), `stat` field 22); elsewhere `ps -o lstart`.
 * @returns undefined when no such process runs; a zombie does not run
 */
export function processIdentity(pid: number): string | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return process.platform === 'linux' ? linuxIdentity(pid) : psField(pid, 'lstart');
}

/** The command line of a running process, or '' when there is none or it may not be read. */
export function commandLine(pid: number): string {
  if (process.platform !== 'linux') return psField(pid, 'args') ?? '';
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

function linuxIdentity(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}:${fields[19]}`;
  } catch {
    return undefined;
  }
}

function psField(pid: number, field: string): string | undefined {
  const options = { encoding: 'utf8', env: { PATH: '/bin:/usr/bin', LC_ALL: 'C' } } as const;
  return (
    spawnSync('ps', ['-o', `${field}=`, '-p', String(pid)], options).stdout?.trim() || undefined
  );
}
