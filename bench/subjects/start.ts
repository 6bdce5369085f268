import { migrate } from '../../inventory/postgres/migrate.ts';
import { fillLedger } from '../ledger.ts';
import { findProgram } from '../load/load.ts';
import type { Rig } from '../rig.ts';
import { checkClassic, seedClassic, startClassic } from './classic/classic.ts';
import { checkFloor, seedFloor, startFloor } from './floor/floor.ts';
import { startMedusa } from './medusa/medusa.ts';
import { receiveStock, seedCatalogue, sendReplayed, startOnhand, verify } from './onhand.ts';
import { runPgbench } from './pgbench.ts';
import { type Server, startServer } from './server.ts';
import type { Checked, Subject, SubjectName } from './subject.ts';

export interface Wanted {
  readonly names: ReadonlySet<SubjectName>;
  /** Whether the keys of replays must be known. */
  readonly replays: boolean;
  /** In the large ledger; the small one has a hundredth. */
  readonly ledgerMovements: number;
  readonly say: (line: string) => void;
}

export interface Subjects {
  get(name: SubjectName): Subject | undefined;
  readonly all: readonly Subject[];
  /** What could not be started, one line each. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

/** Starts every subject that is wanted; they idle while another is measured. */
export async function startSubjects(rig: Rig, wanted: Wanted): Promise<Subjects> {
  const starting = new Starting(rig, wanted);
  try {
    await starting.run();
  } catch (error) {
    await starting.stop();
    throw error;
  }
  const { subjects, missing } = starting;
  return {
    get: (name) => subjects.get(name),
    all: [...subjects.values()],
    missing,
    stop: () => starting.stop(),
  };
}

class Starting {
  readonly subjects = new Map<SubjectName, Subject>();
  readonly missing: string[] = [];
  readonly #servers: Server[] = [];
  readonly #rig: Rig;
  readonly #wanted: Wanted;

  constructor(rig: Rig, wanted: Wanted) {
    this.#rig = rig;
    this.#wanted = wanted;
  }

  async run(): Promise<void> {
    const started = await Promise.allSettled([
      this.#wants('bare') && this.#bare(),
      this.#wants('floor', 'floor-2', 'floor-4') && this.#floor(),
      this.#wants('floor-memory') && this.#floorMemory(),
      this.#wants('onhand', 'onhand-2', 'onhand-4') && this.#onhand(),
      this.#wants('onhand-memory') && this.#memory(),
      this.#wants('classic', 'pgbench') && this.#classic(),
      this.#wants('onhand-small') && this.#filled('onhand-small', 0.01),
      this.#wants('onhand-large') && this.#filled('onhand-large', 1),
      this.#wants('medusa') && this.#medusa(),
    ]);
    // All of them have ended by now, so that stopping misses none.
    for (const each of started) if (each.status === 'rejected') throw each.reason;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }

  #wants(...names: SubjectName[]): boolean {
    return names.some((name) => this.#wanted.names.has(name));
  }

  #add(subject: Subject): void {
    if (this.#wants(subject.name)) this.subjects.set(subject.name, subject);
  }

  async #started(server: Promise<Server>): Promise<Server> {
    const started = await server;
    this.#servers.push(started);
    return started;
  }

  async #bare(): Promise<void> {
    const server = await this.#started(startServer(`${import.meta.dirname}/bare.ts`, {}));
    this.#add({ name: 'bare', servers: [server] });
  }

  async #floor(): Promise<void> {
    const database = await this.#database('floor');
    await seedFloor(database);
    const redis = await this.#rig.startRedis();
    const servers = await this.#fleet('floor', () => startFloor(database, redis));
    this.#addFleet('floor', servers, { redisPid: redis.pid, check: () => checkFloor(database) });
  }

  async #floorMemory(): Promise<void> {
    const database = await this.#database('floor_memory');
    await seedFloor(database);
    const server = await this.#started(startFloor(database));
    this.#add({ name: 'floor-memory', servers: [server], check: () => checkFloor(database) });
  }

  async #onhand(): Promise<void> {
    const database = await this.#database('onhand');
    const redis = await this.#rig.startRedis();
    const servers = await this.#fleet('onhand', () => startOnhand(database, redis));
    const [first] = servers as [Server];
    await this.#stock(first);
    this.#addFleet('onhand', servers, { redisPid: redis.pid, check: () => verify(first) });
  }

  /** Up to four instances on one database and one Redis; one instance is the first of them. */
  async #fleet(name: 'floor' | 'onhand', start: () => Promise<Server>): Promise<Server[]> {
    const size = this.#wants(`${name}-4`) ? 4 : this.#wants(`${name}-2`) ? 2 : 1;
    const servers: Server[] = [];
    for (let at = 0; at < size; at++) servers.push(await this.#started(start()));
    return servers;
  }

  #addFleet(
    name: 'floor' | 'onhand',
    servers: readonly Server[],
    rest: Pick<Subject, 'redisPid' | 'check'>,
  ): void {
    this.#add({ name, servers: servers.slice(0, 1), ...rest });
    for (const size of [2, 4] as const) {
      if (servers.length < size) continue;
      this.#add({ name: `${name}-${size}`, servers: servers.slice(0, size), ...rest });
    }
  }

  async #memory(): Promise<void> {
    const server = await this.#started(startOnhand(await this.#database('onhand_memory')));
    await this.#stock(server);
    this.#add({ name: 'onhand-memory', servers: [server], check: () => verify(server) });
  }

  async #filled(name: 'onhand-small' | 'onhand-large', share: number): Promise<void> {
    const database = await this.#database(name.replace('-', '_'));
    const movements = Math.max(1, Math.round(this.#wanted.ledgerMovements * share));
    this.#wanted.say(`filling a ledger with ${movements.toLocaleString('en')} movements`);
    await fillLedger(database, movements);
    const redis = await this.#rig.startRedis();
    const server = await this.#started(startOnhand(database, redis));
    this.#add({ name, servers: [server], redisPid: redis.pid, check: () => verify(server) });
  }

  async #database(name: string): Promise<string> {
    const url = await this.#rig.createDatabase(name);
    await migrate(url);
    await seedCatalogue(url);
    return url;
  }

  async #stock(server: Server): Promise<void> {
    await receiveStock(server);
    if (this.#wanted.replays) await sendReplayed(server.url);
  }

  async #classic(): Promise<void> {
    const database = await this.#rig.createDatabase('classic');
    await seedClassic(database);
    const check = () => checkClassic(database);
    if (this.#wants('classic')) await this.#classicServer(database, check);
    if (this.#wants('pgbench')) this.#pgbench(database, check);
  }

  async #classicServer(database: string, check: () => Promise<Checked>): Promise<void> {
    const redis = await this.#rig.startRedis();
    const server = await this.#started(startClassic(database, redis));
    if (this.#wanted.replays) await sendReplayed(server.url);
    this.#add({ name: 'classic', servers: [server], redisPid: redis.pid, check });
  }

  #pgbench(database: string, check: () => Promise<Checked>): void {
    const program = findProgram('pgbench');
    if (program === undefined) {
      this.missing.push('pgbench is not installed');
      return;
    }
    const { folder } = this.#rig;
    this.#add({
      name: 'pgbench',
      servers: [],
      run: (load) => runPgbench(program, database, folder, load),
      check,
    });
  }

  async #medusa(): Promise<void> {
    try {
      const database = await this.#rig.createDatabase('medusa');
      const redis = await this.#rig.startRedis();
      const server = await this.#started(startMedusa(database, redis));
      this.#add({ name: 'medusa', servers: [server], redisPid: redis.pid });
    } catch (error) {
      const [reason] = (error as Error).message.split('\n');
      this.missing.push(`Medusa could not be started: ${reason}`);
    }
  }
}
