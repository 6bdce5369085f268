import autocannon from 'autocannon';
import type { Load, Measured } from './load.ts';
import { RequestMaker } from './requests.ts';

/**
 * Runs autocannon in this process. Its latencies are whole milliseconds, and it takes several times
 * the CPU of wrk, so on a small machine every figure is lower; ratios still hold.
 */
export async function runAutocannon(load: Load): Promise<Measured> {
  const { targets, connections, seconds, delayMs } = load;
  const maker = new RequestMaker(load);
  const result = await autocannon({
    // Typed as one address, taken as many: connections go round them.
    url: targets as unknown as string,
    connections,
    duration: seconds,
    timeout: 10,
    ...(delayMs > 0 ? { overallRate: Math.ceil((connections * 1_000) / delayMs) } : {}),
    requests: [
      {
        setupRequest: (request) => ({ ...request, ...maker.next() }),
        onResponse: (status, body) => maker.answered(status, body),
      },
    ],
  });
  const { latency, duration, non2xx, errors } = result;
  return {
    seconds: duration,
    answers: result['2xx'] + non2xx,
    p50: latency.p50 * 1_000,
    p99: latency.p99 * 1_000,
    p999: latency.p99_9 * 1_000,
    refused: non2xx,
    broken: errors,
  };
}
