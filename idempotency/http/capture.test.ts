import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { ModelApp } from '../testing/model-app.ts';
import { expressServer, fastifyServer, nestOnExpress, nodeServer } from '../testing/servers.ts';

const servers = { nodeServer, expressServer, fastifyServer, nestOnExpress };
for (const [name, start] of Object.entries(servers)) {
  test(`a handler that never answers frees its key once abandoned: ${name}`, async (t) => {
    const app = new ModelApp();
    const server = await start(app, { abandonedMs: 20 });
    t.after(() => server.close());
    const held = new Promise<void>((resolve) => {
      app.onHeld = resolve;
    });
    const headers = { 'idempotency-key': 'k', 'content-type': 'application/json' };
    const gone = request(`${server.url}/silent`, { method: 'POST', headers });
    gone.on('error', () => {});
    gone.end('{}');
    await held;
    gone.destroy();
    const again = await fetch(`${server.url}/silent`, { method: 'POST', headers, body: '{}' });
    assert.deepEqual([again.status, await again.json()], [201, { run: 2 }]);
  });
}
