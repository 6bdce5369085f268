import type { Plan } from './plan.ts';
import { type Check, count } from './proof.ts';
import type { Tally } from './tally.ts';

/** What a service may take, whatever it has stored. */
const memoryMiBMax = 400;

/**
 * Every invoice decided, every answer what was asked for, no refusal but for missing stock.
 * @param opening with 1, stock cannot be missing
 */
export function checkAnswers(tally: Tally, plan: Plan, opening: number): Check[] {
  const total = plan.orders - plan.empty;
  const odd = [...tally.refusals.keys()].filter(
    (code) => code !== 'insufficient-stock' || opening === 1,
  );
  const faults = `${tally.faultCount} wrong answers: ${tally.faults.join('; ')}`;
  const right = `every answer moves what was asked, and ${count(tally.repeats)} repeats got the bytes of the first`;
  return [
    {
      passed: tally.decided === total,
      sentence: `${count(tally.decided)} of ${count(total)} invoices with units were decided`,
    },
    { passed: tally.faultCount === 0, sentence: tally.faultCount === 0 ? right : faults },
    {
      passed: odd.length === 0,
      sentence: odd.length === 0 ? 'no unexpected refusal' : `refused: ${odd.join(', ')}`,
    },
  ];
}

/** More movements than answers tell of would be an effect that happened twice. */
export function checkMovements(inLedger: number, answered: number): Check {
  return {
    passed: inLedger === answered,
    sentence: `the ledger has ${count(inLedger)} movements, the answers tell of ${count(answered)}`,
  };
}

export function checkMemory(peakMiB: number): Check {
  return {
    passed: peakMiB < memoryMiBMax,
    sentence: `the service's memory peaked at ${Math.round(peakMiB)} MiB, of ${memoryMiBMax} MiB`,
  };
}
