import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

/**
 * Runs a server that lives exactly as long as this process wants it.
 *
 * Between us and the server stands a small shell, in a session of its own, so that a signal to our
 * process group (Ctrl-C, a supervisor's TERM) does not reach the server before we have drained.
 * It reads a pipe that only we hold open: when we close it, or die in any way (also by SIGKILL),
 * the shell stops the server. When the server ends first, the shell ends with the same code.
 *
 * Worst case from the end of the pipe to the end of the server: patienceSeconds, then the force
 * signal and FORCE_SECONDS, then SIGKILL.
 */
export interface Guarded {
  /** Resolves when the server and its guardian are gone, with a description of how. */
  readonly exited: Promise<string>;
  /** True until the server has ended. */
  readonly running: boolean;
  /** Closes the pipe and waits for the end. Safe to call twice. */
  stop(): Promise<string>;
}

export interface GuardedOptions {
  command: string;
  args: string[];
  /** Signal that asks the server to stop, without SIG. */
  stopSignal: 'INT' | 'TERM';
  /** Signal when it did not, without SIG. */
  forceSignal: 'QUIT' | 'KILL';
  /** Seconds between the two. */
  patienceSeconds: number;
  /** Folder of ours that the guardian removes at the end, whoever is still alive by then. */
  privateDir: string;
  /** File descriptor that takes the output of the server. */
  output: number | 'ignore';
  /** One more that the server has open, and the guardian has not. */
  inherited?: number | undefined;
  /** User to run as; needs root. */
  account?: { uid: number; gid: number } | undefined;
}

/** PostgreSQL gives its backends 5 s after SIGQUIT before it kills them; twice that is lost. */
const FORCE_SECONDS = 10;

/**
 * $1 stop signal, $2 seconds of patience, $3 force signal, $4 seconds after it, $5 private folder,
 * then the command. Exits with the code of the command.
 *
 * The watcher dies of USR1 until the pipe has ended; from then on it takes its sleep with it, so
 * that nothing is left behind. It looks for the server every second, in case the shell was killed.
 * SIGINT is ignored in what a shell puts in the background, which is why only servers that install
 * their own handlers belong here.
 */
const SCRIPT = `
stop=$1 patience=$2 force=$3 grace=$4 private=$5
shift 5
trap '' HUP INT TERM
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
exec 4<&-
(
  while read -r line <&3; do :; done
  sleeper=
  trap 'kill -s KILL $sleeper; exit 0' USR1
  kill -s "$stop" "$server"
  while [ "$patience" -gt 0 ] && kill -s 0 "$server"; do
    sleep 1 & sleeper=$!
    wait "$sleeper"
    patience=$((patience - 1))
  done
  kill -s "$force" "$server" || exit 0
  sleep "$grace" & sleeper=$!
  wait "$sleeper"
  kill -s KILL "$server"
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
code=$?
kill -s USR1 "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
rm -rf -- "$private"
exit "$code"
`;

/** Starts a server under a guardian. @throws the spawn error when /bin/sh cannot be run */
export async function startGuarded(options: GuardedOptions): Promise<Guarded> {
  const { stopSignal, patienceSeconds, forceSignal, privateDir, command, args } = options;
  const words = [stopSignal, patienceSeconds, forceSignal, FORCE_SECONDS, privateDir].map(String);
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'onhand-guardian', ...words, command, ...args], {
    ...options.account,
    cwd: '/',
    detached: true,
    // Nothing of ours: PGPORT or PGDATA would change the server, and it must not see our secrets.
    env: { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C' },
    // The script uses 3 for itself.
    stdio: ['pipe', options.output, options.output, 'ignore', options.inherited ?? 'ignore'],
  });
  await new Promise((resolve, reject) => shell.once('spawn', resolve).once('error', reject));
  return guard(shell, privateDir);
}

function guard(shell: ChildProcess, privateDir: string): Guarded {
  // The server may end first; the pipe then breaks, and its exit says all there is to say.
  shell.stdin?.on('error', () => {});
  let running = true;
  const exited = new Promise<string>((resolve) => {
    shell.once('exit', (code, signal) => {
      running = false;
      // The guardian could, unless its user may not write where the folder lies.
      rmSync(privateDir, { recursive: true, force: true });
      resolve(signal ? `signal ${signal}` : `code ${code}`);
    });
  });
  return {
    exited,
    get running() {
      return running;
    },
    stop() {
      shell.stdin?.destroy();
      return exited;
    },
  };
}
