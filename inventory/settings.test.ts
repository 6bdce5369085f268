import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { readSettings, settingsTable } from './settings.ts';

test('an empty environment gives the defaults', () => {
  assert.deepEqual(readSettings({}), {
    port: 8080,
    host: '127.0.0.1',
    dataDir: path.resolve('.onhand'),
    logLevel: 'info',
    databaseConnections: 16,
    batchCommandsMax: 512,
    queueCommandsMax: 10_000,
    queueWaitMs: 5_000,
    idempotencyRetentionHours: 24,
    idempotencyWaitMs: 2_000,
    claimLeaseMs: 10_000,
    lockLeaseMs: 10_000,
    lockWaitMs: 1_000,
    rateLimitPerSecond: 0,
    stopTimeoutMs: 10_000,
    databaseUrl: undefined,
    redisUrl: undefined,
    apiKey: undefined,
  });
});

test('what is set is read, and what is set to nothing counts as not set', () => {
  const settings = readSettings({
    PORT: '0',
    HOST: '::1',
    DATABASE_URL: 'postgresql://db/onhand',
    REDIS_URL: 'unix:///run/redis.sock',
    ONHAND_API_KEY: 'k'.repeat(200),
    ONHAND_DATA_DIR: '/srv/onhand',
    LOG_LEVEL: '',
    ONHAND_QUEUE_WAIT_MS: ' 250 ',
  });
  assert.equal(settings.port, 0);
  assert.equal(settings.host, '::1');
  assert.equal(settings.databaseUrl, 'postgresql://db/onhand');
  assert.equal(settings.redisUrl, 'unix:///run/redis.sock');
  assert.equal(settings.apiKey, 'k'.repeat(200));
  assert.equal(settings.dataDir, '/srv/onhand');
  assert.equal(settings.logLevel, 'info');
  assert.equal(settings.queueWaitMs, 250);
});

const REFUSED: [Record<string, string>, string][] = [
  [{ PORT: '65536' }, 'PORT must be a whole number from 0 to 65 535 (TCP port), not "65536"'],
  ...['-1', '1e3', '0x10', '1.5', 'NaN', '٣', '9'.repeat(16)].map(
    (text): [Record<string, string>, string] => [
      { PORT: text },
      `PORT must be a whole number from 0 to 65 535 (TCP port), not "${text}"`,
    ],
  ),
  [
    { ONHAND_DATABASE_CONNECTIONS: '1' },
    'ONHAND_DATABASE_CONNECTIONS must be a whole number from 2 to 200 (connections), not "1"',
  ],
  [
    { LOG_LEVEL: 'loud\nFAKE: line' },
    'LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent, ' +
      'not "loud\\nFAKE: line"',
  ],
  [{ HOST: 'a b' }, 'HOST must be an IP address or a host name, not "a b"'],
];

for (const [env, message] of REFUSED) {
  test(`${JSON.stringify(env)} is refused in one line that names it and the rule`, () => {
    assert.throws(() => readSettings(env), { name: 'SettingsError', message });
  });
}

test('a secret that is refused is not shown', () => {
  const refused: [string, string, RegExp][] = [
    ['DATABASE_URL', 'mysql://u:hunter2@db/x', /^DATABASE_URL must be an address postgres:/],
    ['REDIS_URL', 'http://:hunter2@cache', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'redis://:hunter2@cache:port', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'redis://:hunter2@cache:99999', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'redis://:hunter2@cache/first', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'redis://:hunter2%zz@cache', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'redis://hunter2%ff@cache', /^REDIS_URL must be an address redis:/],
    ['REDIS_URL', 'unix://hunter2', /^REDIS_URL must be an address redis:/],
    ['ONHAND_API_KEY', 'hunter2', /^ONHAND_API_KEY must be 16 to 200 visible ASCII characters$/],
    ['ONHAND_API_KEY', `hunter2${'é'.repeat(16)}`, /^ONHAND_API_KEY must be 16 to 200/],
    ['ONHAND_API_KEY', 'hunter2'.repeat(29), /^ONHAND_API_KEY must be 16 to 200/],
  ];
  for (const [name, value, line] of refused) {
    const message = messageOf(() => readSettings({ [name]: value }));
    assert.match(message, line);
    assert.doesNotMatch(message, /hunter2/);
  }
});

test('the table for the documentation has a row for every setting', () => {
  const rows = settingsTable().trimEnd().split('\n').slice(2);
  assert.equal(rows.length, Object.keys(readSettings({})).length);
  for (const row of rows) assert.equal(row.split(' | ').length, 5, row);
  assert.match(
    settingsTable(),
    /\| `ONHAND_QUEUE_WAIT_MS` \| `5000` \| milliseconds \| 1 to 600 000 \|/,
  );
});

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return (error as Error).message;
  }
  return '';
}
