import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { version } from '../version.ts';
import { addDocsPage } from './docsPage.ts';

/** `/openapi.json`, made from the same schemas that validate, and `/docs` to read it. */
export async function addOpenApi(
  app: FastifyInstance,
  { retentionHours }: { retentionHours: number },
): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Onhand',
        version,
        description: `Inventory in which every stock movement counts exactly once.

Every stock command is a \`POST\` with an \`Idempotency-Key\`: send it again with the same key for as
long as you are not sure, it takes effect once and is answered with the first answer. Answers are
kept for ${retentionHours} hours.`,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'Catalogue', description: 'Warehouses and products.' },
        { name: 'Stock commands', description: 'What moves stock.' },
        { name: 'Stock', description: 'Reads.' },
        { name: 'Administration', description: 'For admins.' },
        { name: 'Operations', description: 'For whoever runs the service.' },
      ],
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => {
      const { role } = route.config ?? {};
      const described = { ...schema };
      if (role !== undefined) described.security = [{ apiKey: [] }];
      if (role === 'writer' && route.method === 'POST' && url !== '/v1/batches') {
        described.headers = {
          type: 'object',
          properties: {
            'idempotency-key': {
              type: 'string',
              description:
                'One per intended effect: 1–255 visible ASCII, quoted (RFC 9651) or bare. `X-Idempotency-Key` is an alias.',
            },
          },
        };
      }
      return { schema: described, url };
    },
  });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  addDocsPage(app);
}
