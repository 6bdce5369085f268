/**
 * Claims what is free, lapsed or held by the same owner. Rows are taken in (scope, key) order, so
 * two batches queue here instead of deadlocking. Returns (scope, key) of each entry that was
 * claimed.
 */
export const claimSql = `
WITH entry AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[])
    AS e (scope, key, owner, fingerprint, lease_ms)
), claimed AS (
  INSERT INTO idempotency_claims AS c (scope, key, owner, fingerprint, lease_until)
  SELECT scope, key, owner, fingerprint,
         clock_timestamp() + lease_ms * interval '1 millisecond'
    FROM entry ORDER BY scope COLLATE "C", key COLLATE "C"
  ON CONFLICT (scope, key) DO UPDATE
     SET owner = excluded.owner, fingerprint = excluded.fingerprint,
         lease_until = excluded.lease_until, answer = NULL
   WHERE c.lease_until <= clock_timestamp() OR (c.owner = excluded.owner AND c.answer IS NULL)
  RETURNING scope, key
)
SELECT scope, key FROM claimed`;

/** Reads rows that are claimed or completed now. */
export const peekSql = `
SELECT scope, key, fingerprint, answer,
       (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8 AS lease_ms
  FROM idempotency_claims
 WHERE (scope, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
   AND lease_until > clock_timestamp()`;

// An UPDATE … FROM locks in any order; the ordered SELECT FOR UPDATE goes first.
const ownRows = `
  SELECT c.scope, c.key, e.lease_ms, e.answer
    FROM idempotency_claims c
    JOIN unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::bytea[])
      AS e (scope, key, owner, lease_ms, answer) USING (scope, key)
   WHERE c.owner = e.owner AND c.answer IS NULL AND c.lease_until > clock_timestamp()
   ORDER BY c.scope, c.key
     FOR UPDATE OF c`;

/** Sets the end of what the owners hold, and the answer where there is one. */
export const settleSql = `
WITH own AS (${ownRows})
UPDATE idempotency_claims c
   SET answer = own.answer,
       lease_until = clock_timestamp() + own.lease_ms * interval '1 millisecond'
  FROM own WHERE c.scope = own.scope AND c.key = own.key
RETURNING c.scope, c.key`;

/** Deletes what the owners hold. */
export const releaseSql = `
WITH own AS (${ownRows})
DELETE FROM idempotency_claims c USING own
 WHERE c.scope = own.scope AND c.key = own.key
RETURNING c.scope, c.key`;

/** Deletes a row while it still has the answer $3, which nobody can read. */
export const discardSql = `
DELETE FROM idempotency_claims WHERE scope = $1 AND key = $2 AND answer = $3`;

/** Deletes up to $1 rows whose time is over. */
export const purgeClaimsSql = `
WITH lapsed AS (
  SELECT scope, key FROM idempotency_claims
   WHERE lease_until <= clock_timestamp() ORDER BY lease_until LIMIT $1
     FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_claims c USING lapsed l
 WHERE c.scope = l.scope AND c.key = l.key
RETURNING 1`;
