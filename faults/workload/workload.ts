import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../random.ts';
import { Caller, type CallerOptions } from './caller.ts';
import { CommandSource, Knowledge, requestOf } from './commands.ts';
import { type Command, finalAnswer, type History, type Operation } from './history.ts';
import { invalidRequests } from './invalid.ts';
import { probe } from './probe.ts';
import { catalogueOf, type Profile } from './profile.ts';

export interface WorkloadOptions extends Omit<CallerOptions, 'random' | 'onUnwelcome'> {
  readonly seed: number;
}

/**
 * Attempts of a client before its patience with the whole operation is over (settling has none).
 */
const attemptsMax = 40;

/** Share of operations that a client gives up after an attempt without an answer, for good. */
const abandonShare = 0.02;

const backoffMs = { min: 10, max: 150 };

/** Share of reads that ask for the list of one level. */
const listShare = 0.3;

interface Level {
  readonly onHand: number;
  readonly reserved: number;
  readonly available: number;
  readonly sequence: number;
}

const unmoved: Level = { onHand: 0, reserved: 0, available: 0, sequence: 0 };

/** Clients that work as ours should, and a few that do not, over a cluster that breaks. */
export class Workload {
  readonly history: History;
  readonly caller: Caller;
  readonly #random: Random;
  readonly #profile: Profile;
  readonly #source: CommandSource;
  readonly #knowledge = new Map<string, Knowledge>();
  readonly #serials = new Map<string, number>();

  constructor(options: WorkloadOptions) {
    this.#random = new Random(options.seed);
    this.#profile = options.profile;
    this.caller = new Caller({
      ...options,
      random: this.#random.fork(),
      onUnwelcome: (reply) => this.history.unwelcome.push(reply),
    });
    const catalogue = catalogueOf(this.#profile);
    this.#source = new CommandSource(this.#random.fork(), this.#profile, catalogue);
    const { tenants } = this.#profile;
    this.history = {
      catalogue,
      tenants,
      operations: [],
      reads: [],
      invalid: [],
      unwelcome: [],
      probes: [],
    };
    for (const tenant of tenants) this.#knowledge.set(tenant, new Knowledge());
  }

  /** Registers the codes and receives the opening stock, before anything breaks. */
  async prepare(): Promise<void> {
    const { tenants, catalogue } = this.history;
    const { warehouses, products, backorderProducts } = catalogue;
    for (const tenant of tenants) {
      const codes = [
        ...warehouses.map((code) => [`/v1/warehouses/${code}`, {}] as const),
        ...products.map((code) => {
          const allowBackorder = backorderProducts.includes(code);
          return [`/v1/products/${code}`, { allowBackorder }] as const;
        }),
      ];
      for (const [path, body] of codes) {
        const reply = await this.caller.put(tenant, 0, path, body);
        if (reply?.status !== 201) throw new Error(`PUT ${path}: ${reply?.status} ${reply?.body}`);
      }
      const quantity = this.#profile.openingStock;
      const lines = products.map((product) => ({ product, quantity }));
      for (const warehouse of quantity > 0 ? warehouses : []) {
        await this.perform(this.operation(tenant, { type: 'receipt', warehouse, lines }));
      }
    }
  }

  /** All clients, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: this.#profile.clients }, () => this.#client(signal)));
  }

  /**
   * Sends everything that is not settled until it is; to be called when nothing is broken any more.
   * @returns milliseconds until the last one was
   */
  async settle(withinMs: number): Promise<number> {
    const began = performance.now();
    for (const operation of this.history.operations) {
      // Half of those who went away come back; of the others nothing more is ever asked.
      if (operation.abandoned && this.#random.chance(0.5)) operation.abandoned = false;
    }
    const deadline = began + withinMs;
    const open = this.history.operations.filter((each) => !each.abandoned && !finalAnswer(each));
    const next = () => open.shift();
    await Promise.all(
      Array.from({ length: this.#profile.clients }, async () => {
        for (let operation = next(); operation; operation = next()) {
          await this.#perform(operation, () => performance.now() < deadline, 0);
        }
      }),
    );
    return performance.now() - began;
  }

  operation(tenant: string, command: Command, key?: string): Operation {
    const serial = (this.#serials.get(tenant) ?? 0) + 1;
    this.#serials.set(tenant, serial);
    const id = `${tenant}/${serial}`;
    const { path, body } = requestOf(command, id);
    // The same keys in every tenant: they must not meet.
    const operation: Operation = {
      id,
      tenant,
      key: key ?? `key-${serial}`,
      command,
      path,
      body,
      attempts: [],
      abandoned: false,
    };
    this.history.operations.push(operation);
    return operation;
  }

  async perform(operation: Operation): Promise<void> {
    await this.#perform(operation, () => operation.attempts.length < attemptsMax);
  }

  async #client(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const tenant = this.#random.pick(this.#profile.tenants);
      const type = this.#source.type();
      if (type === 'read') await this.#read(tenant);
      else if (type === 'dry-run') await this.#dryRun(tenant);
      else if (type === 'invalid') await this.#invalid(tenant);
      else if (type === 'batch') await this.#batch(tenant, signal);
      else await this.#command(tenant, type, signal);
    }
  }

  async #command(tenant: string, type: string, signal: AbortSignal): Promise<void> {
    const operation = this.operation(tenant, this.#draw(tenant, type));
    const misused = this.#random.chance(this.#profile.misuseShare)
      ? this.operation(tenant, this.#draw(tenant, 'receipt'), operation.key)
      : undefined;
    const isEarly = this.#random.chance(0.5);
    const patient = () => !signal.aborted && operation.attempts.length < attemptsMax;
    await Promise.all([
      this.#perform(operation, patient),
      misused && isEarly ? this.#perform(misused, patient) : undefined,
    ]);
    if (misused && !isEarly) await this.#perform(misused, patient);
    if (finalAnswer(operation) && this.#random.chance(this.#profile.repeatShare)) {
      await this.caller.attempt(operation);
    }
    if (finalAnswer(operation)?.status === 201 && this.#random.chance(this.#profile.probeShare)) {
      await probe(operation, this.#anyInstance(), this.caller, this.history);
    }
  }

  /** @param leaves share of clients that go away after an attempt without an answer */
  async #perform(
    operation: Operation,
    isPatient: () => boolean,
    leaves = abandonShare,
  ): Promise<void> {
    while (isPatient()) {
      await this.caller.attempt(operation);
      const answer = finalAnswer(operation);
      if (answer !== undefined) {
        if (answer.status === 201) this.#knowledge.get(operation.tenant)?.learn(answer.body);
        return;
      }
      const isUnanswered = operation.attempts.at(-1)?.answer === undefined;
      if (isUnanswered && this.#random.chance(leaves)) {
        operation.abandoned = true;
        return;
      }
      await delay(this.#random.between(backoffMs.min, backoffMs.max));
    }
  }

  async #batch(tenant: string, signal: AbortSignal): Promise<void> {
    const types = ['receipt', 'shipment', 'transfer', 'adjustment', 'reservation', 'reversal'];
    const operations = Array.from({ length: this.#random.between(2, 8) }, () =>
      this.operation(tenant, this.#draw(tenant, this.#random.pick(types))),
    );
    for (let tries = 0; tries < attemptsMax && !signal.aborted; tries++) {
      await this.caller.attemptBatch(operations);
      if (operations.every((each) => finalAnswer(each))) return;
      await delay(this.#random.between(backoffMs.min, backoffMs.max));
    }
  }

  async #read(tenant: string): Promise<void> {
    const { warehouses, products } = this.history.catalogue;
    const warehouse = this.#random.pick(warehouses);
    const product = this.#random.chance(this.#profile.hotShare)
      ? (products[0] as string)
      : this.#random.pick(products);
    const instance = this.#anyInstance();
    const sent = { sentAt: performance.now(), sentWall: Date.now() };
    const isList = this.#random.chance(listShare);
    const path = isList
      ? `/v1/stock?warehouse=${warehouse}&product=${product}`
      : `/v1/stock/${warehouse}/${product}`;
    const reply = await this.caller.get(tenant, instance, path);
    if (reply?.status !== 200) return;
    const body = JSON.parse(reply.body) as Level & { items?: readonly Level[] };
    // One that a list leaves out was never moved.
    const { onHand, reserved, available, sequence } = isList ? (body.items?.[0] ?? unmoved) : body;
    const at = performance.now();
    const read = { tenant, warehouse, product, ...sent, at, wall: Date.now() };
    const etag = isList ? undefined : String(reply.headers.etag);
    this.history.reads.push({ ...read, onHand, reserved, available, sequence, etag });
    this.#knowledge.get(tenant)?.levels.set(`${warehouse}|${product}`, { onHand, sequence });
  }

  /** Its reference is no operation's: the ledger must not know it. */
  async #dryRun(tenant: string): Promise<void> {
    const { path, body } = requestOf(this.#draw(tenant, 'receipt'), 'dry run');
    const instance = this.#anyInstance();
    await this.caller.post(tenant, instance, { path: `${path}?dryRun=true`, body, expected: 200 });
  }

  async #invalid(tenant: string): Promise<void> {
    const draw = requestOf(this.#draw(tenant, 'receipt'), 'an invalid request');
    const { what, ...invalid } = this.#random.pick(invalidRequests(draw.body));
    const instance = this.#anyInstance();
    const reply = await this.caller.post(tenant, instance, { path: draw.path, ...invalid });
    if (reply === undefined || reply.status >= 500) return;
    const { status, body } = reply;
    this.history.invalid.push({ what, expected: invalid.expected, status, body });
  }

  #anyInstance(): number {
    return this.#random.between(0, this.caller.instances - 1);
  }

  #draw(tenant: string, type: string): Command {
    const own = this.#knowledge.get(tenant) as Knowledge;
    const other = this.#random.pick(this.#profile.tenants);
    const foreign = other === tenant ? undefined : this.#knowledge.get(other);
    return this.#source.command(type, own, foreign);
  }
}
