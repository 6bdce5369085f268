import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Lost } from '../check/observations.ts';
import { Link } from '../network/link.ts';
import { type Place, run, writePostgresFile } from './place.ts';
import { PostgresServer } from './postgres.ts';
import type { Undertaker } from './undertaker.ts';

/** Longest wait for a standby to stream and to be caught up. */
const streamWaitMs = 60_000;

/** 20 tries half a second apart outlast every fault of a primary. */
const rebuildTriesMax = 20;
const rebuildPauseMs = 500;

/** How a primary is lost whose standby is cut off. */
export interface Loss {
  /** How long commits come before anything else happens. */
  readonly aloneMs: number;
  /**
   * How long an administrator then cancels the commits that wait, which shows them; undefined: not
   * at all.
   */
  readonly cancelsMs?: number | undefined;
  /**
   * The primary crashes, recovers, and is there this long before it is lost: after a recovery it
   * shows commits that no standby has; undefined: it is lost at once.
   */
  readonly recoversMs?: number | undefined;
}

/**
 * A primary and, if asked for, a synchronous streaming standby behind a link of its own.
 *
 * A commit is acknowledged when the standby has flushed it, so a failover loses nothing that was
 * answered. While there is no standby (it is being rebuilt after a failover) commits wait for
 * nobody, and there is no second failover until it has caught up.
 */
export class PostgresPair {
  primary: PostgresServer;
  readonly link: Link;
  readonly lost: Lost[] = [];
  #standby: PostgresServer | undefined;
  #rebuilding: Promise<void> | undefined;
  #rebuildFailure: unknown;
  readonly #place: Place;

  private constructor(
    primary: PostgresServer,
    standby: PostgresServer | undefined,
    link: Link,
    place: Place,
  ) {
    this.primary = primary;
    this.#standby = standby;
    this.link = link;
    this.#place = place;
  }

  static async start(
    place: Place,
    undertaker: Undertaker,
    options: { standby: boolean; prepare: (server: PostgresServer) => void },
  ): Promise<PostgresPair> {
    const primary = new PostgresServer('a', place, undertaker);
    options.prepare(primary);
    await primary.initialise();
    await primary.start();
    await primary.query('CREATE DATABASE onhand');
    const link = await Link.listen('postgres → standby', primary.target);
    if (!options.standby) return new PostgresPair(primary, undefined, link, place);
    const standby = new PostgresServer('b', place, undertaker);
    options.prepare(standby);
    const pair = new PostgresPair(primary, standby, link, place);
    await pair.#buildStandby(standby);
    return pair;
  }

  get servers(): readonly PostgresServer[] {
    return this.#standby === undefined ? [this.primary] : [this.primary, this.#standby];
  }

  get hasStandby(): boolean {
    return this.#standby !== undefined;
  }

  get isRebuilding(): boolean {
    return this.#rebuilding !== undefined;
  }

  /** Waits for a standby that is being rebuilt. @throws when that failed */
  async settled(): Promise<void> {
    await this.#rebuilding;
    if (this.#rebuildFailure !== undefined) throw this.#rebuildFailure;
  }

  /**
   * Kills the primary and promotes the standby; the killed one is rebuilt as the next standby.
   * @returns false when the standby has not caught up, so that an operator would not fail over
   */
  async failOver(): Promise<boolean> {
    const standby = this.#standby;
    if (standby === undefined || this.isRebuilding) return false;
    if (!(await isCaughtUp(this.primary))) return false;
    await this.primary.kill();
    await this.#promote(standby);
    return true;
  }

  /**
   * Loses the primary in the middle of commits that wait for the standby, which is cut off.
   * @returns false when the standby had not caught up before
   */
  async losePrimary({ aloneMs, cancelsMs, recoversMs }: Loss): Promise<boolean> {
    const standby = this.#standby;
    if (standby === undefined || this.isRebuilding) return false;
    if (!(await isCaughtUp(this.primary))) return false;
    this.link.shape({ kind: 'black-hole' });
    await delay(aloneMs);
    const from = performance.now();
    if (cancelsMs !== undefined) await this.#cancelWaits(cancelsMs);
    if (recoversMs !== undefined) {
      await this.primary.kill();
      await this.primary.start();
      await delay(recoversMs);
    }
    await this.primary.kill();
    const hasShownMore = cancelsMs !== undefined || recoversMs !== undefined;
    if (hasShownMore) this.lost.push({ from, until: performance.now() });
    // What is held back must not arrive.
    this.link.cut();
    this.link.heal();
    await this.#promote(standby);
    return true;
  }

  /** As an administrator does who sees sessions hang in their COMMIT. */
  async #cancelWaits(lastsMs: number): Promise<void> {
    const until = performance.now() + lastsMs;
    while (performance.now() < until) {
      const cancel = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`;
      // Another fault may have taken all connections.
      await this.primary.query(cancel).catch(() => {});
      await delay(50);
    }
  }

  async #promote(standby: PostgresServer): Promise<void> {
    const old = this.primary;
    await standby.query('SELECT pg_promote(true, 60)');
    this.primary = standby;
    this.#standby = old;
    this.link.aim(standby.target);
    this.link.cut();
    this.#rebuilding = this.#rebuild(old)
      .catch((error) => {
        this.#rebuildFailure = error;
      })
      .finally(() => {
        this.#rebuilding = undefined;
      });
  }

  /** A fault may hit the primary in the middle of it: then once more from the start. */
  async #rebuild(standby: PostgresServer): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await standby.kill();
        return await this.#buildStandby(standby);
      } catch (error) {
        if (tries === rebuildTriesMax) throw error;
        await delay(rebuildPauseMs);
      }
    }
  }

  async #buildStandby(standby: PostgresServer): Promise<void> {
    await copyCluster(this.primary, standby, this.#place);
    const conninfo = `host=127.0.0.1 port=${this.link.port} user=onhand application_name=standby sslmode=disable`;
    await standby.start({ primary_conninfo: conninfo });
    await waitUntil('the standby streams', async () => {
      const [row] = await this.primary.query(
        `SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'`,
      );
      return row !== undefined;
    });
    await this.primary.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await this.primary.query('SELECT pg_reload_conf()');
    await waitUntil('the standby is synchronous', () => isCaughtUp(this.primary));
  }
}

/** A base backup by hand (PostgreSQL manual, 25.3.4): the embedded build has no pg_basebackup. */
async function copyCluster(from: PostgresServer, to: PostgresServer, place: Place): Promise<void> {
  rmSync(to.data, { recursive: true, force: true });
  await from.session(async (client) => {
    await client.query(`SELECT pg_backup_start('standby', fast => true)`);
    // Files that vanish while they are copied are recovered from the WAL; cp only complains.
    await run('cp', ['-R', '-p', from.data, to.data], place.account).catch(onlyVanished);
    const { rows } = await client.query<{ label: string }>(
      'SELECT labelfile AS label FROM pg_backup_stop(wait_for_archive => false)',
    );
    rmSync(path.join(to.data, 'postmaster.pid'), { force: true });
    const write = (name: string, content: string) =>
      writePostgresFile(place, path.join(to.data, name), content);
    // Without the primary's settings: once promoted, it waits for no standby until it has one.
    write('postgresql.auto.conf', '');
    write('backup_label', rows[0]?.label ?? '');
    write('standby.signal', '');
  });
}

function onlyVanished(error: unknown): void {
  const lines = (error as Error).message.split('\n').filter((line) => line.trim() !== '');
  const isHarmless = (line: string) => /No such file or directory/.test(line);
  if (!lines.every(isHarmless)) throw error;
}

/** Whether the standby is synchronous and holds everything that is visible now. */
async function isCaughtUp(primary: PostgresServer): Promise<boolean> {
  try {
    const [now] = await primary.query<{ lsn: string }>('SELECT pg_current_wal_lsn() AS lsn');
    const [row] = await primary.query<{ caughtUp: boolean }>(
      `SELECT flush_lsn >= $1::pg_lsn AS "caughtUp" FROM pg_stat_replication
       WHERE sync_state = 'sync'`,
      [now?.lsn],
    );
    return row?.caughtUp === true;
  } catch {
    return false;
  }
}

async function waitUntil(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + streamWaitMs;
  while (!(await isTrue().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not within ${streamWaitMs} ms: ${what}`);
    await delay(50);
  }
}
