import { type Load, productCode, replayed, tenantName, world } from './load.ts';

/** One request as autocannon takes it. */
export interface Made {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
}

/** Makes the requests of a load, as load/requests.lua does for wrk. */
export class RequestMaker {
  readonly #load: Load;
  #counter = 0;
  readonly #cumulated: number[] = [];
  readonly #reserved: string[] = [];

  constructor(load: Load) {
    this.#load = load;
    let sum = 0;
    for (let rank = 1; rank <= world.products; rank++) {
      sum += rank ** -world.zipfExponent;
      this.#cumulated.push(sum);
    }
  }

  next(): Made {
    switch (this.#load.requests.kind) {
      case 'receipt':
        return this.#post('/v1/receipts', this.#order('PO-1'));
      case 'shipment':
        return this.#post('/v1/shipments', this.#order('SO-1'));
      case 'transfer':
        return this.#post('/v1/transfers', this.#transfer());
      case 'reservation':
        return this.#reservation();
      case 'replay':
        return this.#replay();
      case 'batch':
        return this.#batch();
      case 'tenants':
        return this.#ofAnyTenant();
      case 'read':
        return {
          method: 'GET',
          path: `/v1/stock/W1/${this.#product()}`,
          headers: { authorization: `Bearer ${world.secret}demo` },
        };
    }
  }

  /** Reads an answer, where the next request needs it. */
  answered(status: number, body: string): void {
    if (this.#load.requests.kind !== 'reservation' || status !== 201) return;
    if (!body.includes('"status":"active"')) return;
    const { id } = JSON.parse(body) as { id: string };
    this.#reserved.push(id);
  }

  #key(): string {
    this.#counter += 1;
    return `${this.#load.run}-${this.#counter}`;
  }

  #post(path: string, body: string, key = this.#key(), tenant = 'demo'): Made {
    const headers = {
      authorization: `Bearer ${world.secret}${tenant}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    };
    return { method: 'POST', path, headers, body };
  }

  #product(): string {
    const { pick } = this.#load.requests;
    if (pick === 'hot') return productCode(1);
    if (pick === 'uniform') return productCode(1 + Math.floor(Math.random() * world.products));
    const wanted = Math.random() * (this.#cumulated.at(-1) ?? 0);
    return productCode(1 + this.#cumulated.findIndex((sum) => sum >= wanted));
  }

  #lines(): string {
    const codes = new Set<string>();
    while (codes.size < this.#load.requests.lines) codes.add(this.#product());
    const list = [...codes].map((product) => `{"product":"${product}","quantity":1}`);
    return `"lines":[${list.join(',')}]`;
  }

  #order(reference: string): string {
    return `{"warehouse":"W1","reference":"${reference}",${this.#lines()}}`;
  }

  #transfer(): string {
    const [from, to] = Math.random() < 0.5 ? ['W1', 'W2'] : ['W2', 'W1'];
    return `{"from":"${from}","to":"${to}",${this.#lines()}}`;
  }

  #reservation(): Made {
    const found = this.#reserved.pop();
    if (found !== undefined) return this.#post(`/v1/reservations/${found}/ship`, '{}');
    return this.#post('/v1/reservations', `{"warehouse":"W1","ttlSeconds":3600,${this.#lines()}}`);
  }

  #replay(): Made {
    const { key, body } = replayed(1 + Math.floor(Math.random() * world.replays));
    return this.#post('/v1/receipts', body, key);
  }

  #batch(): Made {
    const commands = Array.from({ length: world.batchCommands }, () => {
      const rest = this.#order('PO-1').slice(1);
      return `{"type":"receipt","idempotencyKey":"${this.#key()}",${rest}`;
    });
    return this.#post('/v1/batches', `{"commands":[${commands.join(',')}]}`, 'none');
  }

  #ofAnyTenant(): Made {
    const product = productCode(1 + Math.floor(Math.random() * world.tenantProducts));
    const line = `"lines":[{"product":"${product}","quantity":1}]}`;
    const tenant = tenantName(1 + Math.floor(Math.random() * world.tenants));
    const body = `{"warehouse":"W1","reference":"PO-1",${line}`;
    return this.#post('/v1/receipts', body, this.#key(), tenant);
  }
}
