import { setTimeout } from 'node:timers/promises';

let effects = 0;

/** The effect that every server here protects: 20 ms of work, then a new thing. */
export async function createThing() {
  await setTimeout(20);
  const id = ++effects;
  return { id, location: `/things/${id}` };
}

/** What `--observe` reads. */
export const count = () => String(effects);

export const port = (server) => console.log(`listening on ${server.address().port}`);
