import type { FastifyInstance } from 'fastify';

/** `├── ` or `│   ` per level, the last path segment, the methods. */
const routeLine = /^((?:[│ ] {3})*)([├└]── )?(\S+) \(([A-Z, ]+)\)$/;

/**
 * The routes that really carry a preHandler of this name, as `POST /path`.
 *
 * Read from Fastify's own print of its routes and their hooks: that is the one list which also has
 * the routes that were declared before the plugin loaded. Routes opted out by their configuration
 * are left out where Fastify shows it (those declared after).
 */
export function protectedRoutes(
  app: FastifyInstance,
  hookName: string,
  methods: ReadonlySet<string>,
): string[] {
  const routes: string[] = [];
  const path: string[] = [];
  let current: string[] = [];
  for (const line of app.printRoutes({ includeHooks: true, commonPrefix: false }).split('\n')) {
    const match = routeLine.exec(line);
    if (!match) {
      if (line.includes('(preHandler)') && line.includes(`"${hookName}()"`))
        routes.push(...current);
      continue;
    }
    const [, indent = '', branch, segment = '', names = ''] = match;
    const depth = indent.length / 4 - (branch ? 0 : 1);
    path.length = Math.max(0, depth);
    path.push(segment);
    const url = path.join('');
    current = names
      .split(', ')
      .filter((method) => methods.has(method))
      .map((method) => `${method} ${url}`);
  }
  return [...new Set(routes)];
}
