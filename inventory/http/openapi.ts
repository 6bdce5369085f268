import swagger from '@fastify/swagger';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { version } from '../version.ts';
import { jsonType } from './answers.ts';
import { components, describeOperation, type Operation } from './describeOperation.ts';
import { addDocsPage } from './docsPage.ts';

type Paths = Record<string, Record<string, Operation>>;

/** `/openapi.json`, made from the same schemas that validate, and `/docs` to read it. */
export async function addOpenApi(
  app: FastifyInstance,
  { retentionHours }: { retentionHours: number },
): Promise<void> {
  const routes = new Set<RouteOptions>();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Onhand',
        version,
        description: `Inventory in which every stock movement counts exactly once.

Every stock command is a \`POST\` with an \`Idempotency-Key\`: send it again with the same key for as
long as you are not sure, it takes effect once and is answered with the first answer. Answers are
kept for ${retentionHours} h.`,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'Catalogue', description: 'Warehouses and products.' },
        { name: 'Stock commands', description: 'What moves stock.' },
        { name: 'Stock', description: 'Reads.' },
        { name: 'Administration', description: 'For admins.' },
        { name: 'Operations', description: 'For whoever runs the service.' },
      ],
      components,
    },
    transform: ({ schema, url, route }) => {
      routes.add(route);
      return { schema, url };
    },
    transformObject: (document) => {
      const { paths } = (document as { openapiObject: { paths: Paths } }).openapiObject;
      for (const route of routes) {
        const path = route.url.replaceAll(/:(\w+)/g, '{$1}');
        const operation = paths[path]?.[String(route.method).toLowerCase()];
        if (operation !== undefined) describeOperation(operation, route);
      }
      return (document as { openapiObject: object }).openapiObject;
    },
  });
  let document: Buffer | undefined;
  app.get('/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    document ??= Buffer.from(JSON.stringify(app.swagger()));
    return reply.type(jsonType).send(document);
  });
  addDocsPage(app);
}
