/**
 * Removes the variables of libpq (PGOPTIONS, PGCLIENTENCODING, …) from the environment.
 *
 * `pg` reads them for what a URL leaves open. They are meant for another database than the embedded
 * one, where they would change sessions, or keep them from coming about.
 */
export function forgetLibpqVariables(env: NodeJS.ProcessEnv = process.env): void {
  for (const name of Object.keys(env)) if (name.startsWith('PG')) delete env[name];
}
