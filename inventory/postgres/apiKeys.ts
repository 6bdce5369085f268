import type pg from 'pg';
import { textArray } from './arrays.ts';
import { queryConfirmed } from './confirmed.ts';
import { rowsOf } from './reads.ts';

export interface ApiKeyRow {
  readonly tenant: string;
  readonly role: 'reader' | 'writer' | 'admin';
  readonly name: string;
}

/**
 * @param secrets SHA-256 of each, lower-case hex
 * @returns those that are valid keys, by the same
 */
export async function findApiKeys(
  pool: pg.Pool,
  secrets: readonly string[],
): Promise<Map<string, ApiKeyRow>> {
  const { rows } = await pool.query<ApiKeyRow & { secret: string }>({
    name: 'find-api-keys',
    text: `
      SELECT encode(secret_sha256, 'hex') AS secret, tenant_id AS tenant, role, name
      FROM api_keys WHERE secret_sha256 = ANY($1::bytea[]) AND revoked_at IS NULL`,
    values: [textArray(secrets.map((secret) => `\\x${secret}`))],
  });
  return new Map(rows.map(({ secret, ...key }) => [secret, key]));
}

/**
 * The key that a service is started with. No other is given its name, so that a start replaces
 * none.
 */
export const startKey = { tenant: 'demo', role: 'admin', name: 'admin' } as const;

/**
 * Makes sure that a secret is a key of the tenant, with this role and name; the tenant is made if
 * it is new. A valid key of that name with another secret is replaced.
 *
 * Instances that start together may do this at once.
 * @returns `taken` when the secret is another key's, `revoked` when it was ever revoked: no key is
 *   changed then
 */
export async function ensureApiKey(
  pool: pg.Pool,
  key: ApiKeyRow,
  secretSha256: string,
): Promise<'ensured' | 'taken' | 'revoked'> {
  if (await createApiKey(pool, key, secretSha256)) return 'ensured';
  const changed = await queryConfirmed(pool, {
    text: `
      UPDATE api_keys SET role = $2, secret_sha256 = decode($4, 'hex')
      WHERE tenant_id = $1 AND name = $3 AND revoked_at IS NULL AND NOT EXISTS (
        SELECT FROM api_keys WHERE secret_sha256 = decode($4, 'hex')
          AND ((tenant_id, name) <> ($1, $3) OR revoked_at IS NOT NULL))`,
    values: [key.tenant, key.role, key.name, secretSha256],
  });
  if (changed.rowCount === 1) return 'ensured';
  const { rows } = await pool.query<{ isRevoked: boolean }>(
    `SELECT revoked_at IS NOT NULL AS "isRevoked" FROM api_keys
     WHERE secret_sha256 = decode($1, 'hex')`,
    [secretSha256],
  );
  // The key to be replaced was revoked meanwhile: its name is free now.
  if (rows[0] === undefined) return ensureApiKey(pool, key, secretSha256);
  return rows[0].isRevoked ? 'revoked' : 'taken';
}

/**
 * Adds a key; the tenant is made if it is new. The name of a revoked key may be used again: its row
 * stays, so that its secret is known as revoked for ever, under a name that no key can be given.
 *
 * `ON CONFLICT` takes no target here, since with one it looks at that index alone, and the other
 * unique index would refuse the slower of two instances that add the same key.
 * @returns false when the tenant has a valid key of that name, or the secret is in use or was
 *   revoked: no key is changed then
 */
export async function createApiKey(
  pool: pg.Pool,
  { tenant, role, name }: ApiKeyRow,
  secretSha256: string,
): Promise<boolean> {
  await pool.query('INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING', [tenant]);
  await pool.query(
    `UPDATE api_keys SET name = name || '~' || encode(secret_sha256, 'hex')
     WHERE tenant_id = $1 AND name = $2 AND revoked_at IS NOT NULL`,
    [tenant, name],
  );
  const { rowCount } = await queryConfirmed(pool, {
    text: `
      INSERT INTO api_keys (tenant_id, role, name, secret_sha256)
      VALUES ($1, $2, $3, decode($4, 'hex')) ON CONFLICT DO NOTHING`,
    values: [tenant, role, name, secretSha256],
  });
  return rowCount === 1;
}

/** Also those that were revoked, under the names that they had. */
export function listApiKeys(
  pool: pg.Pool,
  tenant: string,
): Promise<(ApiKeyRow & { createdAt: Date; revokedAt: Date | null })[]> {
  return rowsOf(
    pool,
    `SELECT tenant_id AS tenant, role, split_part(name, '~', 1) AS name,
       created_at AS "createdAt", revoked_at AS "revokedAt"
     FROM api_keys WHERE tenant_id = $1 ORDER BY 3, created_at`,
    [tenant],
  );
}

/** @returns whether there was a valid key of that name */
export async function revokeApiKey(pool: pg.Pool, tenant: string, name: string): Promise<boolean> {
  const { rowCount } = await queryConfirmed(pool, {
    text: `
      UPDATE api_keys SET revoked_at = now()
      WHERE tenant_id = $1 AND name = $2 AND revoked_at IS NULL`,
    values: [tenant, name],
  });
  return rowCount === 1;
}
