/**
 * Loaded into each service process before its own code (`--import`), by the supervisor only.
 *
 * Its standard input carries clock jumps, one a line, in milliseconds from the real time; when it
 * closes, the supervisor is gone and the process ends with it. Only the wall clock jumps: the
 * monotonic clock and timers of a real system do not.
 */
let shiftMs = 0;

const RealDate = Date;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now() + shiftMs] : args, newTarget),
  get: (target, name) =>
    name === 'now' ? () => target.now() + shiftMs : Reflect.get(target, name, target),
});

process.stdin.setEncoding('utf8');
process.stdin.on('data', (text: string) => {
  const jump = Number(text.trim().split('\n').at(-1));
  if (Number.isFinite(jump)) shiftMs = jump;
});
process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL'));
// Typed as a file or terminal, it is the pipe's socket here, which alone must not keep us alive.
(process.stdin as unknown as { unref?: () => void }).unref?.();
