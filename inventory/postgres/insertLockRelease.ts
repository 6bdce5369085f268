import type pg from 'pg';

/** Writes down who released a lock by force, when and why. */
export async function insertLockRelease(
  pool: pg.Pool,
  tenant: string,
  release: { resource: string; reason: string; releasedBy: string },
): Promise<void> {
  await pool.query(
    `INSERT INTO lock_releases (tenant_id, resource, reason, released_by)
     VALUES ($1, $2, $3, $4)`,
    [tenant, release.resource, release.reason, release.releasedBy],
  );
}
