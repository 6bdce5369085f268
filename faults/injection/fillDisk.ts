import { appendFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { PostgresServer } from '../supervisor/postgres.ts';

const pieceBytes = 1024 * 1024;

/** Fills the small disk of a server to the last byte. It may survive that or end; healing starts it. */
export async function fillDisk(server: PostgresServer): Promise<() => Promise<void>> {
  const ballast = path.join(server.disk, 'ballast');
  for (let piece = pieceBytes; piece >= 512; ) {
    try {
      appendFileSync(ballast, Buffer.alloc(piece));
    } catch {
      piece /= 2;
    }
  }
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
