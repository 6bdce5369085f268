import { appendFileSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { run } from '../supervisor/place.ts';
import type { PostgresServer } from '../supervisor/postgres.ts';

/**
 * Fills the small disk of a server to the last byte. It may survive that or end; healing starts it.
 */
export async function fillDisk(server: PostgresServer): Promise<() => Promise<void>> {
  const ballast = path.join(server.disk, 'ballast');
  const { bavail, bsize } = statfsSync(server.disk);
  // The server goes on writing: what is left by now may be less, and then more is asked for.
  await run('fallocate', ['-l', String(bavail * bsize), ballast]).catch(() => {});
  fillUp(ballast);
  return async () => {
    rmSync(ballast, { force: true });
    if (!server.running) await server.start();
    // Its own restart after a crash may have failed for want of room, or may be under way.
    await server.query('SELECT 1').catch(async () => {
      await server.kill();
      await server.start();
    });
  };
}

function fillUp(file: string): void {
  for (let bytes = 1024 * 1024; bytes >= 512; ) {
    try {
      appendFileSync(file, Buffer.alloc(bytes));
    } catch {
      bytes /= 2;
    }
  }
}
