-- $1 resources, $2 token. Remembers the token for each resource; one row a resource that had no
-- later one. The rows stay locked until the transaction ends, so a stale writer waits here and is
-- refused.
INSERT INTO lock_fence AS fence (resource, token)
SELECT resource, $2::bigint FROM unnest($1::text[]) AS resource ORDER BY resource
ON CONFLICT (resource) DO UPDATE SET token = excluded.token WHERE fence.token <= excluded.token
RETURNING 1
