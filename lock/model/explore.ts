import { type Action, type BoardClass, Scenario, type Wish } from './scenario.ts';

/** What to explore. */
export interface Exploration {
  readonly board: BoardClass;
  readonly wishes: readonly Wish[];
  /** How many messages are lost and clients die, at most. */
  readonly faults: number;
  /** Longest history. */
  readonly depthMax: number;
}

/**
 * Visits every state that can be reached, breadth first, and in each checks the properties of
 * {@link Scenario}, at last that it comes to rest.
 * @returns how many different states there are
 * @throws Error with the shortest history that breaks a property
 */
export function explore({ board, wishes, faults, depthMax }: Exploration): number {
  const seen = new Set<string>();
  let frontier: Action[][] = [[]];
  for (let depth = 0; depth <= depthMax && frontier.length > 0; depth++) {
    const next: Action[][] = [];
    for (const history of frontier) {
      const replay = () => run(board, wishes, faults, history);
      const scenario = replay();
      const state = scenario.fingerprint();
      if (seen.has(state)) continue;
      seen.add(state);
      const actions = scenario.actions();
      told(history, () => scenario.mustComeToRest());
      for (const action of actions) next.push([...history, action]);
    }
    frontier = next;
  }
  return seen.size;
}

function run(
  board: BoardClass,
  wishes: readonly Wish[],
  faults: number,
  history: readonly Action[],
): Scenario {
  const scenario = new Scenario(board, wishes, faults);
  told(history, () => {
    for (const action of history) scenario.take(action);
  });
  return scenario;
}

function told(history: readonly Action[], body: () => void): void {
  try {
    body();
  } catch (cause) {
    const steps = history.map((action) =>
      action === 'tick' ? 'tick' : `${action.step} ${action.client}`,
    );
    throw new Error(`${(cause as Error).message} after: ${steps.join(', ')}`, { cause });
  }
}
