import type { FastifyInstance, FastifyRequest, RouteOptions } from 'fastify';

/** `├── ` or `│   ` per level, then a part of the path or what belongs to the route above. */
const treeLine = /^((?:[│ ] {3})*)([├└]── )?(.*)$/;
/** A part of a path, with the methods and constraints of the route that ends there. */
const node = /^(.*?)(?: \(([A-Z, ]+)\)( \{.*\})?)?$/;

/**
 * The routes that really carry a preHandler of this name, as `POST /path` with what it is
 * constrained to.
 *
 * Read from Fastify's own print of its routes and their hooks: that is the one list which also has
 * the routes that were declared before the plugin loaded. It prints a tree of parts that paths have
 * in common; without these it would lose what stands before a wildcard. Left out are those that
 * {@link markOptedOut} marked: Fastify shows a route's configuration only while it is declared, and
 * what stands in the same instance as the registration is declared before the plugin loads.
 */
export function protectedRoutes(
  app: FastifyInstance,
  hookName: string,
  methods: ReadonlySet<string>,
): string[] {
  const routes = new Set<string>();
  const optedOut = new Set<string>();
  const path: string[] = [];
  let current: string[] = [];
  for (const line of app.printRoutes({ includeHooks: true }).split('\n')) {
    const [, indent = '', branch, text = ''] = treeLine.exec(line) ?? [];
    if (text.startsWith('• ')) {
      const hooked = text.startsWith('• (preHandler)') && text.includes(`"${hookName}()"`);
      if (hooked) for (const route of current) routes.add(route);
      if (text.includes(`"${mark.name}()"`)) for (const route of current) optedOut.add(route);
      continue;
    }
    const [, part = '', names, constraints = ''] = node.exec(text) ?? [];
    path.length = Math.max(0, indent.length / 4 - (branch ? 0 : 1));
    path.push(part === '(empty root node)' ? '' : part);
    const url = path.join('');
    current = (names?.split(', ') ?? [])
      .filter((method) => methods.has(method))
      .map((method) => `${method} ${url}${constraints}`);
  }
  return [...routes].filter((route) => !optedOut.has(route));
}

/**
 * Marks a route that opted out by a hook that the print shows and that costs its requests nothing.
 */
export function markOptedOut(route: RouteOptions): void {
  route.onRequestAbort = [route.onRequestAbort ?? [], mark].flat();
}

// Fastify counts the parameters of such a hook.
const mark = async function idempotencyOptedOut(_request: FastifyRequest): Promise<void> {};
