import Fastify, { type FastifyInstance } from 'fastify';

const paths = ['/docs', '/docs/', '/docs/js/scalar.js'];

interface Page {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

/**
 * `/docs`: a page that shows `/openapi.json` and needs nothing from elsewhere. Its plugin is a
 * script of 5 MB, read when somebody first looks: no start waits for it.
 */
export function addDocsPage(app: FastifyInstance): void {
  let pages: Promise<Map<string, Page>> | undefined;
  for (const url of paths) {
    app.get(url, { schema: { hide: true } }, async (_request, reply) => {
      pages ??= loadPages();
      const { statusCode, headers, body } = (await pages).get(url) as Page;
      return reply.code(statusCode).headers(headers).send(body);
    });
  }
}

/**
 * Each page once, whoever asks by whatever Host: answers that wait for slow readers share its
 * bytes.
 */
async function loadPages(): Promise<Map<string, Page>> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const plugin = Fastify();
  await plugin.register(scalar, {
    routePrefix: '/docs',
    configuration: { url: '/openapi.json', title: 'Onhand API', withDefaultFonts: false },
  });
  const pages = new Map<string, Page>();
  for (const url of paths) {
    const { statusCode, headers, rawPayload: body } = await plugin.inject({ url });
    if (statusCode >= 400) throw new Error(`${url} is answered ${statusCode}: ${body}`);
    pages.set(url, { statusCode, headers: kept(headers), body });
  }
  return pages;
}

function kept(headers: Readonly<Record<string, unknown>>): Record<string, string> {
  const names = ['content-type', 'location'].filter((name) => headers[name] !== undefined);
  return Object.fromEntries(names.map((name) => [name, String(headers[name])]));
}
