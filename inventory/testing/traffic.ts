import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiClient, onHand, openStock, provenMovements, type Reply } from './apiClient.ts';

interface Order {
  readonly key: string;
  readonly product: string;
  readonly quantity: number;
}

const products = ['T1', 'T2', 'T3', 'T4'];

/** What a caller does between two attempts; the tests do not wait for Retry-After seconds. */
const backoffMs = 25;

/** A retry that has no answer by then fails the test: the liveness bound. */
const answerWithinMs = 30_000;

/**
 * Callers that receive stock without pause, each effect under a key of its own that they send until
 * it is answered, and that remember what they were promised. Whatever is broken meanwhile, in the
 * end each order must count exactly once.
 */
export class Traffic {
  /** Every answer that came, also refusals. */
  readonly replies: Reply[] = [];
  /** Connections that broke instead of answering. */
  lost = 0;
  /** Answers that were no success. */
  refused = 0;
  latencyMsMax = 0;
  readonly #orders: Order[] = [];
  readonly #acknowledged = new Map<string, string>();
  readonly #clients: () => readonly ApiClient[];
  #stopping = false;
  #callers: Promise<void>[] = [];
  #watchers: { count: number; resolve: () => void }[] = [];

  /** @param clients asked for every request, so that callers find a service that was restarted */
  constructor(clients: () => readonly ApiClient[]) {
    this.#clients = clients;
  }

  async start(callers: number): Promise<void> {
    await openStock(this.#clients()[0] as ApiClient, ['W1'], products);
    this.#callers = Array.from({ length: callers }, () => this.#call());
  }

  /** Resolves when `count` more orders are acknowledged. @throws when that takes too long */
  acknowledgedMore(count: number): Promise<void> {
    const reached = new Promise<void>((resolve) => {
      this.#watchers.push({ count: this.#acknowledged.size + count, resolve });
    });
    const tooLate = delay(answerWithinMs, undefined, { ref: false }).then(() => {
      throw new Error(`not ${count} more orders acknowledged within ${answerWithinMs} ms`);
    });
    return Promise.race([reached, tooLate]);
  }

  /** Ends new orders and waits for those under way. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#callers);
  }

  /** Sends everything unanswered again, and then proves that each order counted exactly once. */
  async reconcile(): Promise<void> {
    await this.stop();
    const open = this.#orders.filter(({ key }) => !this.#acknowledged.has(key));
    await Promise.all(open.map((order) => this.#insist(order)));
    const client = this.#client(0);
    for (const product of products) {
      const promised = this.#orders.filter((order) => order.product === product);
      const units = promised.reduce((sum, { quantity }) => sum + quantity, 0);
      assert.equal(await onHand(client, 'W1', product), units, `units of ${product}`);
    }
    assert.equal(await provenMovements(client), this.#orders.length);
    await this.#repeatSome(client);
  }

  /** Acknowledged keys are answered with the bytes that were promised. */
  async #repeatSome(client: ApiClient): Promise<void> {
    const every = Math.max(1, Math.floor(this.#orders.length / 20));
    for (let n = 0; n < this.#orders.length; n += every) {
      const order = this.#orders[n] as Order;
      const { text } = await this.#send(client, order);
      assert.equal(text, this.#acknowledged.get(order.key));
    }
  }

  async #call(): Promise<void> {
    while (!this.#stopping) {
      const n = this.#orders.length;
      const product = products[n % products.length] as string;
      const order = { key: `order-${n}`, product, quantity: 1 + (n % 7) };
      this.#orders.push(order);
      for (let attempt = n; !(await this.#attempt(this.#client(attempt), order)); attempt++) {
        if (this.#stopping) return;
        await delay(backoffMs);
      }
    }
  }

  async #insist(order: Order): Promise<void> {
    const deadline = performance.now() + answerWithinMs;
    while (!(await this.#attempt(this.#client(0), order))) {
      assert.ok(performance.now() < deadline, `${order.key} was never answered`);
      await delay(backoffMs);
    }
  }

  async #attempt(client: ApiClient, order: Order): Promise<boolean> {
    const began = performance.now();
    let reply: Reply;
    try {
      reply = await this.#send(client, order);
    } catch {
      this.lost += 1;
      return false;
    }
    this.latencyMsMax = Math.max(this.latencyMsMax, performance.now() - began);
    this.replies.push(reply);
    if (reply.status !== 201) {
      this.refused += 1;
      return false;
    }
    this.#acknowledged.set(order.key, reply.text);
    for (const { count, resolve } of this.#watchers) {
      if (this.#acknowledged.size >= count) resolve();
    }
    return true;
  }

  #client(n: number): ApiClient {
    const clients = this.#clients();
    return clients[n % clients.length] as ApiClient;
  }

  #send(client: ApiClient, { key, product, quantity }: Order): Promise<Reply> {
    const lines = [{ product, quantity }];
    return client.post('/v1/receipts', key, { warehouse: 'W1', lines });
  }
}
