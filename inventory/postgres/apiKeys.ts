import type pg from 'pg';
import { rowsOf } from './reads.ts';

export interface ApiKeyRow {
  readonly tenant: string;
  readonly role: 'reader' | 'writer' | 'admin';
  readonly name: string;
}

/** @param secretSha256 lower-case hex */
export async function findApiKey(
  pool: pg.Pool,
  secretSha256: string,
): Promise<ApiKeyRow | undefined> {
  const { rows } = await pool.query<ApiKeyRow>({
    name: 'find-api-key',
    text: `
      SELECT tenant_id AS tenant, role, name FROM api_keys
      WHERE secret_sha256 = decode($1, 'hex') AND revoked_at IS NULL`,
    values: [secretSha256],
  });
  return rows[0];
}

/**
 * Makes sure that a secret is a key of the tenant, with this role and name; the tenant is made if it
 * is new. A key of that name with another secret is replaced.
 *
 * Instances that start together may do this at once. `ON CONFLICT` takes no target here, since with
 * one it looks at that index alone, and the other unique index would refuse the slower instance.
 * @returns `taken` when the secret is another key's, `revoked` when this very key was revoked: nothing is
 *   changed then
 */
export async function ensureApiKey(
  pool: pg.Pool,
  { tenant, role, name }: ApiKeyRow,
  secretSha256: string,
): Promise<'ensured' | 'taken' | 'revoked'> {
  const values = [tenant, role, name, secretSha256];
  await pool.query('INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING', [tenant]);
  const added = await pool.query(
    `INSERT INTO api_keys (tenant_id, role, name, secret_sha256)
     VALUES ($1, $2, $3, decode($4, 'hex')) ON CONFLICT DO NOTHING`,
    values,
  );
  if (added.rowCount === 1) return 'ensured';
  const changed = await pool.query(
    `UPDATE api_keys SET role = $2, secret_sha256 = decode($4, 'hex'), revoked_at = NULL
     WHERE tenant_id = $1 AND name = $3 AND NOT EXISTS (
       SELECT FROM api_keys WHERE secret_sha256 = decode($4, 'hex')
         AND ((tenant_id, name) <> ($1, $3) OR revoked_at IS NOT NULL))`,
    values,
  );
  if (changed.rowCount === 1) return 'ensured';
  const { rowCount } = await pool.query(
    `SELECT FROM api_keys
     WHERE tenant_id = $1 AND name = $2 AND secret_sha256 = decode($3, 'hex')`,
    [tenant, name, secretSha256],
  );
  return rowCount === 1 ? 'revoked' : 'taken';
}

/**
 * Adds a key; the tenant is made if it is new. The name of a revoked key may be used again.
 * @returns false when the tenant has a valid key of that name, which stays as it is
 */
export async function createApiKey(
  pool: pg.Pool,
  { tenant, role, name }: ApiKeyRow,
  secretSha256: string,
): Promise<boolean> {
  await pool.query('INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING', [tenant]);
  const { rowCount } = await pool.query(
    `INSERT INTO api_keys (tenant_id, role, name, secret_sha256)
     VALUES ($1, $2, $3, decode($4, 'hex'))
     ON CONFLICT (tenant_id, name) DO UPDATE
     SET role = excluded.role, secret_sha256 = excluded.secret_sha256, created_at = now(),
         revoked_at = NULL
     WHERE api_keys.revoked_at IS NOT NULL`,
    [tenant, role, name, secretSha256],
  );
  return rowCount === 1;
}

export function listApiKeys(
  pool: pg.Pool,
  tenant: string,
): Promise<(ApiKeyRow & { createdAt: Date; revokedAt: Date | null })[]> {
  return rowsOf(
    pool,
    `SELECT tenant_id AS tenant, role, name, created_at AS "createdAt", revoked_at AS "revokedAt"
     FROM api_keys WHERE tenant_id = $1 ORDER BY name`,
    [tenant],
  );
}

/** @returns whether there was a valid key of that name */
export async function revokeApiKey(pool: pg.Pool, tenant: string, name: string): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE api_keys SET revoked_at = now()
     WHERE tenant_id = $1 AND name = $2 AND revoked_at IS NULL`,
    [tenant, name],
  );
  return rowCount === 1;
}
