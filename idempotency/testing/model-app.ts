import { Readable } from 'node:stream';
import type pg from 'pg';
import type { ProtectionOptions } from '../http/options.ts';
import type { RequestIdempotency } from '../http/protection.ts';

export interface ModelReply {
  status: number;
  headers: Record<string, string>;
  body: { json: unknown } | { bytes: Buffer } | { stream: Readable };
}

/** What every framework's test server does; only the sending differs. */
export class ModelApp {
  runs = 0;
  /** Told each time a handler of `/held` begins; it goes on when `release` is called. */
  onHeld: () => void = () => {};
  release: () => void = () => {};
  /** Awaited in the handlers of `/transaction`, before they begin it. */
  beforeTransaction: () => Promise<void> = async () => {};
  readonly pool: pg.Pool | undefined;

  constructor(pool?: pg.Pool) {
    this.pool = pool;
  }

  /** @param write writes to the response itself, where a framework has one. Default: nothing */
  async handle(
    path: string,
    body: unknown,
    idempotency: RequestIdempotency | null | undefined,
    write: (part: string) => void = () => {},
  ): Promise<ModelReply> {
    const run = ++this.runs;
    const headers = { location: `/things/${run}`, etag: `"${run}"`, 'set-cookie': `run=${run}` };
    switch (path) {
      case '/held':
        await new Promise<void>((resolve) => {
          this.release = resolve;
          this.onHeld();
        });
        return { status: 201, headers, body: { json: { run } } };
      case '/flaky':
        return { status: run === 1 ? 503 : 201, headers, body: { json: { run } } };
      case '/refused':
        return { status: 409, headers, body: { json: { code: 'insufficient', run } } };
      case '/throws':
        if (run === 1) throw new Error('on purpose');
        return { status: 201, headers, body: { json: { run } } };
      case '/partial':
        if (run > 1) return { status: 201, headers, body: { json: { run } } };
        write('part of it');
        throw new Error('on purpose');
      case '/bytes':
        return { status: 200, headers: octets, body: { bytes: bytesOf(body, run) } };
      case '/no-content':
        return { status: 204, headers, body: { bytes: Buffer.alloc(0) } };
      case '/stream':
        return { status: 200, headers: octets, body: { stream: Readable.from(chunks(run)) } };
      case '/silent':
        if (run === 1) await new Promise(() => this.onHeld());
        return { status: 201, headers, body: { json: { run } } };
      case '/open-stream':
        return { status: 200, headers: octets, body: { stream: Readable.from(this.openStream()) } };
      case '/large':
        return { status: 200, headers: octets, body: { bytes: Buffer.alloc(300_000, run) } };
      case '/transaction':
      case '/transaction-then-throw':
        return this.transaction(path, { status: 201, headers }, run, idempotency);
      case '/unsendable':
        return this.transaction(
          path,
          { status: 201, headers, ...(body as object) },
          run,
          idempotency,
        );
      default:
        return { status: 201, headers, body: { json: { run, echo: body, ü: '☃' } } };
    }
  }

  /** More than the limit of the test, then nothing until `release`, then the end. */
  private async *openStream(): AsyncGenerator<Buffer> {
    for (let i = 0; i < 20; i++) yield Buffer.alloc(10_000, i);
    await new Promise<void>((resolve) => {
      this.release = resolve;
      this.onHeld();
    });
    yield Buffer.from('end');
  }

  private async transaction(
    path: string,
    { status, headers }: { status: number; headers: Record<string, string> },
    run: number,
    idempotency: RequestIdempotency | null | undefined,
  ): Promise<ModelReply> {
    if (!this.pool || !idempotency) throw new Error('the test gave no database or key');
    await this.beforeTransaction();
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('INSERT INTO effects (key) VALUES ($1)', [idempotency.key]);
      const json = { run, of: idempotency.key, spacing: [1, 2] };
      await idempotency.record(client, { status, headers, body: json });
      await client.query('COMMIT');
      if (path === '/transaction-then-throw') throw new Error('after the commit');
      return { status, headers, body: { json } };
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }
}

const octets = { 'content-type': 'application/octet-stream' };

function bytesOf(body: unknown, run: number): Buffer {
  return Buffer.concat([Buffer.from([0, 255, run]), Buffer.from(body as Uint8Array)]);
}

function* chunks(run: number): Generator<Buffer> {
  for (let i = 0; i < 10; i++) yield Buffer.alloc(1_000, i + run);
}

export interface TestServer {
  url: string;
  close(): Promise<void>;
}

/** Starts a server of one framework around the model. `authorization` names the scope. */
export type StartServer = (
  app: ModelApp,
  // biome-ignore lint/suspicious/noExplicitAny: each framework has a request type of its own
  options: Omit<ProtectionOptions<any>, 'scope'>,
) => Promise<TestServer>;
