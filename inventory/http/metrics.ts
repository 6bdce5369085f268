import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { PipelineObserver } from '../pipeline/batch.ts';
import { RequestTimes } from './requestTimes.ts';

/** What the metrics read when they are scraped. */
export interface MetricSources {
  queueLength(): number;
  isDegraded(): boolean;
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The service's metrics, for Prometheus. Names and labels are listed in docs/operating.md. */
export class Metrics {
  readonly registry = new Registry();
  readonly requests: RequestTimes;
  readonly #batchCommands: Histogram;
  readonly #batchStages: Histogram;
  readonly #batchFailures: Counter;
  readonly #claimsDegraded: Counter;
  readonly #lockWait: Histogram;
  readonly #lockMisses: Counter;
  /** By type, then by code. Plain numbers, which the counter takes over when it is scraped. */
  readonly #answers = new Map<string, Map<string, { first: number; replayed: number }>>();

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.requests = new RequestTimes({
      name: 'onhand_http_request_seconds',
      help: 'HTTP requests: time to the answer, by route and status.',
      buckets: latencyBuckets,
      register: this.registry,
    });
    this.#batchCommands = new Histogram({
      name: 'onhand_batch_commands',
      help: 'Commands committed in one transaction.',
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      registers,
    });
    this.#batchStages = new Histogram({
      name: 'onhand_batch_stage_seconds',
      help: 'Time of each stage of a batch: resolve, lock, load, decide, write.',
      labelNames: ['stage'],
      buckets: [0.0001, 0.00025, ...latencyBuckets],
      registers,
    });
    this.#batchFailures = new Counter({
      name: 'onhand_batch_failures_total',
      help: 'Attempts of a batch that failed; they are retried, split or given up.',
      registers,
    });
    const answers = this.#answers;
    new Counter({
      name: 'onhand_command_answers_total',
      help: 'Answers to stock commands, by type, code (`ok` or the refusal) and replay.',
      labelNames: ['type', 'code', 'replayed'],
      registers,
      collect() {
        this.reset();
        for (const [type, codes] of answers) {
          for (const [code, { first, replayed }] of codes) {
            if (first > 0) this.inc({ type, code, replayed: 'false' }, first);
            if (replayed > 0) this.inc({ type, code, replayed: 'true' }, replayed);
          }
        }
      },
    });
    this.#claimsDegraded = new Counter({
      name: 'onhand_claims_degraded_total',
      help: 'Times that Redis stopped answering and claims went to memory.',
      registers,
    });
    this.#lockWait = new Histogram({
      name: 'onhand_lock_wait_seconds',
      help: 'Time until a batch held its product-warehouse pairs.',
      buckets: [0.0001, 0.00025, ...latencyBuckets],
      registers,
    });
    this.#lockMisses = new Counter({
      name: 'onhand_lock_misses_total',
      help: 'Batches that went on under row locks alone.',
      registers,
    });
  }

  /** Gauges that read the running service at each scrape. */
  watch({ queueLength, isDegraded }: MetricSources): void {
    new Gauge({
      name: 'onhand_queue_commands',
      help: 'Commands waiting for a batch.',
      registers: [this.registry],
      collect() {
        this.set(queueLength());
      },
    });
    new Gauge({
      name: 'onhand_degraded',
      help: '1 while Redis is configured and does not answer.',
      registers: [this.registry],
      collect() {
        this.set(isDegraded() ? 1 : 0);
      },
    });
  }

  answered(type: string, code: string, replayed: boolean): void {
    let codes = this.#answers.get(type);
    if (codes === undefined) {
      codes = new Map();
      this.#answers.set(type, codes);
    }
    let counts = codes.get(code);
    if (counts === undefined) {
      counts = { first: 0, replayed: 0 };
      codes.set(code, counts);
    }
    if (replayed) counts.replayed += 1;
    else counts.first += 1;
  }

  claimsDegraded(): void {
    this.#claimsDegraded.inc();
  }

  get observer(): PipelineObserver {
    return {
      batchCommitted: ({ commands, stagesMs }) => {
        if (commands > 0) this.#batchCommands.observe(commands);
        for (const [stage, ms] of Object.entries(stagesMs)) {
          this.#batchStages.labels(stage).observe(ms / 1000);
        }
      },
      batchFailed: () => this.#batchFailures.inc(),
      lockMissed: () => this.#lockMisses.inc(),
      lockAcquired: (waitedMs) => this.#lockWait.observe(waitedMs / 1000),
    };
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Counts the request's answer; null where no route was found. */
    countAnswer: ((status: number, seconds: number) => void) | null;
  }
}

/** Times every request. Add it before the routes. */
export function addMetrics(app: FastifyInstance, { requests }: Metrics): void {
  const unrouted = new Map<string, (status: number, seconds: number) => void>();
  app.decorateRequest('countAnswer', null);
  app.addHook('onRoute', (route) => {
    const count = requests.of(String(route.method), route.url);
    route.onRequest = [
      (request, _reply, done) => {
        request.countAnswer = count;
        done();
      },
      ...[route.onRequest ?? []].flat(),
    ];
  });
  app.addHook('onResponse', ({ method, countAnswer }, reply, done) => {
    const count = countAnswer ?? unrouted.get(method) ?? requests.of(method, 'none');
    if (countAnswer === null) unrouted.set(method, count);
    count(reply.statusCode, reply.elapsedTime / 1000);
    done();
  });
}

export function addMetricsRoute(app: FastifyInstance, metrics: Metrics): void {
  app.get(
    '/metrics',
    {
      config: {
        described: { answers: { 200: { content: { 'text/plain': { type: 'string' } } } } },
      },
      schema: { tags: ['Operations'], summary: 'Metrics for Prometheus' },
    },
    async (_request, reply) => {
      reply.type(metrics.registry.contentType);
      return metrics.registry.metrics();
    },
  );
}
