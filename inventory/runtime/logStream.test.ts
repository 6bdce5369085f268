import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createTestDatabase, startService, startTestRedis, waitFor } from '@onhand/fixtures';
import { apiClient, openStock } from '../testing/apiClient.ts';
import { LogStream } from './logStream.ts';

interface Pipe {
  /** Opens an end, by default one that does not wait: a write to a full pipe is EAGAIN. */
  open(flags: number, more?: number): number;
  close(fd: number): void;
  /** What is in it now. */
  read(fd: number): string;
}

function makePipe(t: TestContext): Pipe {
  const folder = mkdtempSync(path.join(tmpdir(), 'onhand-log-'));
  const file = path.join(folder, 'pipe');
  execFileSync('mkfifo', [file]);
  const open = new Set<number>();
  const close = (fd: number) => void (open.delete(fd) && closeSync(fd));
  t.after(() => {
    for (const fd of open) close(fd);
    rmSync(folder, { recursive: true });
  });
  return {
    open: (flags, more = constants.O_NONBLOCK) => {
      const fd = openSync(file, flags | more);
      open.add(fd);
      return fd;
    },
    close,
    read: (fd) => {
      const bytes = Buffer.alloc(65_536);
      try {
        return bytes.toString('utf8', 0, readSync(fd, bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
        throw error;
      }
    },
  };
}

const messages = (text: string): string[] =>
  text.match(/[^\n]+/g)?.map((line) => JSON.parse(line).msg) ?? [];

const line = (msg: string) => `${JSON.stringify({ msg })}\n`;

test('lines that could not be written are counted in front of the next that is', async (t) => {
  const pipe = makePipe(t);
  const reader = pipe.open(constants.O_RDONLY);
  const stream = new LogStream(pipe.open(constants.O_WRONLY));
  pipe.close(reader);
  stream.write(line('a'));
  stream.write(line('b'));
  await waitFor('both were tried without a reader', async () => stream.dropped === 2);
  const next = pipe.open(constants.O_RDONLY);
  stream.write(line('c'));
  let read = '';
  await waitFor('something is read', async () => {
    read = pipe.read(next);
    return read !== '';
  });
  assert.deepEqual(messages(read), ['2 log lines could not be written', 'c']);
});

test('a slow reader gets the lines there was room for, each whole and once, and the count of the rest', async (t) => {
  const pipe = makePipe(t);
  const reader = pipe.open(constants.O_RDONLY);
  const stream = new LogStream(pipe.open(constants.O_WRONLY), { charactersMax: 100_000 });
  const line = (n: number) => `{"msg":"${String(n).padStart(3)} ${'x'.repeat(985)}"}\n`;
  assert.equal(line(0).length, 1_000);
  for (let n = 0; n < 300; n++) stream.write(line(n));
  assert.equal(stream.dropped, 200);
  // More than a pipe holds, so the first write is cut and the second finds no room.
  let read = '';
  await waitFor('the last line is read', async () => {
    read += pipe.read(reader);
    return read.endsWith('"}\n') && read.includes(line(99));
  });
  assert.deepEqual(
    messages(read).map((msg) => msg.slice(0, 3)),
    ['200', ...Array.from({ length: 100 }, (_, n) => String(n).padStart(3))],
  );
});

test('a service whose log nobody reads stops when told to', async (t) => {
  const { url } = await createTestDatabase(t);
  const pipe = makePipe(t);
  pipe.open(constants.O_RDONLY);
  const filler = pipe.open(constants.O_WRONLY);
  // As a shell makes them: a write to it would wait.
  const log = pipe.open(constants.O_WRONLY, 0);
  const service = await startService(t, { env: { DATABASE_URL: url, LOG_LEVEL: 'trace' }, log });
  for (const size of [4096, 1]) fill(filler, 'x'.repeat(size));
  assert.equal((await fetch(`${service.url}/healthz`)).status, 200);
  assert.equal(await service.stop(), 0);
});

/** Writes until there is no room. */
function fill(fd: number, text: string): void {
  assert.throws(
    () => {
      while (writeSync(fd, text) > 0);
    },
    { code: 'EAGAIN' },
  );
}

test('a service whose log is on a full disk answers, and stops when told to', async (t) => {
  const [database, redis] = await Promise.all([createTestDatabase(t), startTestRedis(t)]);
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const service = await startService(t, {
    env: { DATABASE_URL: database.url, REDIS_URL: redis.url, LOG_LEVEL: 'trace' },
    log: full,
  });
  const client = apiClient(service);
  await openStock(client, ['W1'], ['A'], 1);
  await redis.kill();
  const receipt = { warehouse: 'W1', lines: [{ product: 'A', quantity: 1 }] };
  assert.equal((await client.post('/v1/receipts', 'k', receipt)).status, 201);
  assert.equal(await service.stop(), 0);
});
