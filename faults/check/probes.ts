import { isDeepStrictEqual } from 'node:util';
import { finalAnswer, type Probe } from '../workload/history.ts';
import type { CheckName, Report } from './anomaly.ts';

interface Posting {
  readonly id: string;
  readonly movements: readonly Place[];
}

interface Place {
  readonly product: string;
  readonly sequence: number;
}

interface Judge {
  readonly check: CheckName;
  /** @param answer what the operation was answered; @param body what the probe was */
  isRight(answer: Record<string, unknown>, body: never): boolean;
}

const judges: Record<Probe['what'], Judge> = {
  key: {
    check: 'record',
    isRight: (answer, body: { status: string; answer?: { status: number; body: unknown } }) =>
      body.status === 'completed' &&
      body.answer?.status === 201 &&
      isDeepStrictEqual(body.answer.body, answer),
  },
  posting: {
    check: 'read',
    isRight: (answer, body: Posting) => isDeepStrictEqual(body, postingOf(answer)),
  },
  movements: {
    check: 'read',
    isRight: (answer, { items }: { items: readonly Place[] }) =>
      placesOf(items) === placesOf(postingOf(answer).movements),
  },
  reservation: { check: 'read', isRight: (answer, { id }: { id: string }) => id === answer.id },
};

/** What the service says of a command agrees with how it answered it, from the answer on. */
export function checkProbes(probes: readonly Probe[], report: Report): void {
  for (const { operation, what, body } of probes) {
    const answer = finalAnswer(operation)?.body ?? '{}';
    const { check, isRight } = judges[what];
    if (isRight(JSON.parse(answer), JSON.parse(body) as never)) continue;
    report(check, `${operation.id} was answered ${answer}, its ${what} is ${body}`);
  }
}

/** An answer is a posting, or a reservation with one. */
function postingOf(answer: Record<string, unknown>): Posting {
  return (answer.posting ?? answer) as Posting;
}

function placesOf(movements: readonly Place[]): string {
  return movements.map(({ product, sequence }) => `${product} ${sequence}`).join();
}
