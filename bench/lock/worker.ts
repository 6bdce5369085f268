/**
 * One process of the lock benchmark. Arguments: subject, Redis port, folder of the peers, tasks,
 * keys a task, `own` or `one` (each task its own keys, or one key for all), seconds, first task's
 * number. Waits for a line on its input, then measures and prints its figures as JSON.
 */
import { once } from 'node:events';
import { openSubject } from './subjects.ts';

const [name = '', port, folder = '', tasks, keysEach, whose, seconds, first] =
  process.argv.slice(2);
const subject = await openSubject(name, Number(port), folder);
const takes: number[] = Array.from({ length: Number(tasks) }, () => 0);
const waits: number[] = [];
const open: number[] = [];

const keysOf = (task: number) =>
  Array.from({ length: Number(keysEach) }, (_, at) =>
    whose === 'one' ? `hot-${at}` : `own-${Number(first) + task}-${at}`,
  );
await (await subject.take(['warm-up']))();

process.stdout.write('ready\n');
await once(process.stdin, 'data');

// A fifth of the time passes before counting, for compilation and the first queueing.
const startAt = performance.now() + Number(seconds) * 200;
const endAt = startAt + Number(seconds) * 1_000;
await Promise.all(
  takes.map(async (_, task) => {
    const keys = keysOf(task);
    for (let now = performance.now(); now < endAt; now = performance.now()) {
      const release = await subject.take(keys);
      const taken = performance.now();
      if (taken >= startAt && taken < endAt) {
        takes[task] = (takes[task] ?? 0) + 1;
        waits.push(taken - now);
      } else if (taken >= endAt) {
        open.push(endAt - now);
      }
      await release();
    }
  }),
);
// 50,000 waits say as much as all of them.
const weight = Math.max(1, Math.ceil(waits.length / 50_000));
const ended = waits.filter((_, at) => at % weight === 0);
const figures = `${JSON.stringify({ takes, waits: { ended, weight, open } })}\n`;
await new Promise((resolve) => process.stdout.write(figures, resolve));
await subject.close();
process.exit(0);
