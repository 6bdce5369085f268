import Fastify, { type FastifyInstance } from 'fastify';

const paths = ['/docs', '/docs/', '/docs/js/scalar.js'];

/**
 * `/docs`: a page that shows `/openapi.json` and needs nothing from elsewhere. Its plugin is a script
 * of 5 MB, read when somebody first looks: no start waits for it.
 */
export function addDocsPage(app: FastifyInstance): void {
  let pages: Promise<FastifyInstance> | undefined;
  for (const url of paths) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      pages ??= loadPages();
      const page = await (await pages).inject({ url, headers: { host: request.host } });
      for (const name of ['content-type', 'location']) {
        const value = page.headers[name];
        if (value !== undefined) reply.header(name, value);
      }
      return reply.code(page.statusCode).send(page.rawPayload);
    });
  }
}

async function loadPages(): Promise<FastifyInstance> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const pages = Fastify();
  await pages.register(scalar, {
    routePrefix: '/docs',
    configuration: { url: '/openapi.json', title: 'Onhand API', withDefaultFonts: false },
  });
  return pages;
}
