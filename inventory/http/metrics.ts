import type { FastifyInstance } from 'fastify';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { PipelineObserver } from '../pipeline/batch.ts';

/** What the metrics read when they are scraped. */
export interface MetricSources {
  queueLength(): number;
  isDegraded(): boolean;
}

const latencyBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The service's metrics, for Prometheus. Names and labels are listed in docs/operating.md. */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests: Histogram;
  readonly #batchCommands: Histogram;
  readonly #batchStages: Histogram;
  readonly #batchFailures: Counter;
  readonly #answers: Counter;
  readonly #claims: Counter;
  readonly #lockWait: Histogram;
  readonly #lockMisses: Counter;
  // A label set is looked up once, not with every request.
  readonly #children = new Map<string, Histogram.Internal<string> | Counter.Internal>();

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Histogram({
      name: 'onhand_http_request_seconds',
      help: 'HTTP requests: time to the answer, by route and status.',
      labelNames: ['method', 'route', 'status'],
      buckets: latencyBuckets,
      registers,
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
    this.#answers = new Counter({
      name: 'onhand_command_answers_total',
      help: 'Answers to stock commands, by type, code (`ok` or the refusal) and replay.',
      labelNames: ['type', 'code', 'replayed'],
      registers,
    });
    this.#claims = new Counter({
      name: 'onhand_idempotency_claim_failures_total',
      help: 'Claims that Redis did not answer.',
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
    const key = `answer ${type} ${code} ${replayed}`;
    let child = this.#children.get(key) as Counter.Internal | undefined;
    if (child === undefined) {
      child = this.#answers.labels(type, code, String(replayed));
      this.#children.set(key, child);
    }
    child.inc();
  }

  claimFailed(): void {
    this.#claims.inc();
  }

  requested(method: string, route: string, status: number, seconds: number): void {
    const key = `request ${method} ${route} ${status}`;
    let child = this.#children.get(key) as Histogram.Internal<string> | undefined;
    if (child === undefined) {
      child = this.#requests.labels(method, route, String(status));
      this.#children.set(key, child);
    }
    child.observe(seconds);
  }

  get observer(): PipelineObserver {
    return {
      batchCommitted: ({ commands, stagesMs }) => {
        this.#batchCommands.observe(commands);
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

/** Times every request. */
export function addMetrics(app: FastifyInstance, metrics: Metrics): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    metrics.requested(request.method, route, reply.statusCode, reply.elapsedTime / 1000);
    done();
  });
}

export function addMetricsRoute(app: FastifyInstance, metrics: Metrics): void {
  app.get(
    '/metrics',
    { schema: { tags: ['Operations'], summary: 'Metrics for Prometheus' } },
    async (_request, reply) => {
      reply.type(metrics.registry.contentType);
      return metrics.registry.metrics();
    },
  );
}
