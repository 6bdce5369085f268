import type { Sample } from '../measure/sample.ts';
import type { SubjectName } from '../subjects/subject.ts';
import type { Machine } from './machine.ts';

/** What one subject did in one scenario. */
export interface Result {
  readonly scenario: string;
  readonly subject: SubjectName;
  readonly connections: number;
  readonly load: 'full' | 'half';
  /** One a round. */
  readonly samples: readonly Sample[];
}

/** The books of one subject after all loads. */
export interface Books {
  readonly subject: SubjectName;
  readonly movements: number;
  /** Null: they are right. */
  readonly fault: string | null;
}

/** A run, as it is written to JSON. */
export interface Report {
  readonly command: string;
  readonly startedAt: string;
  readonly minutes: number;
  readonly machine: Machine;
  readonly load: 'wrk' | 'autocannon';
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly ledgerMovements: number;
  readonly results: readonly Result[];
  readonly books: readonly Books[];
  readonly missing: readonly string[];
}

export function find(
  { results }: Report,
  scenario: string,
  subject: SubjectName,
  connections?: number,
  load: Result['load'] = 'full',
): Result | undefined {
  return results.find(
    (result) =>
      result.scenario === scenario &&
      result.subject === subject &&
      result.load === load &&
      (connections === undefined || result.connections === connections),
  );
}
