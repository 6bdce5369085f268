-- $1 keys. One row a key, in order: its holders, and those who await it, the next one first.
SELECT wanted.key,
       coalesce(bool_or(holder.shared), false) AS shared,
       coalesce(json_agg(json_build_object(
         'owner', holder.owner,
         'heldMs', extract(epoch FROM clock_timestamp() - holder.since) * 1000
       ) ORDER BY holder.owner) FILTER (WHERE holder.owner IS NOT NULL), '[]') AS holders,
       coalesce(extract(epoch FROM max(holder.until) - clock_timestamp()) * 1000, 0)::float8
         AS remaining_ms,
       ARRAY(SELECT waiter.owner FROM onhand_lock.waiter
              WHERE wanted.key = ANY (waiter.keys) AND waiter.alive_until >= clock_timestamp()
              GROUP BY waiter.owner
              ORDER BY min(waiter.place)) AS waiters
  FROM unnest($1::text[]) WITH ORDINALITY AS wanted (key, position)
  LEFT JOIN onhand_lock.holder ON holder.key = wanted.key AND holder.until > clock_timestamp()
 GROUP BY wanted.key, wanted.position
 ORDER BY wanted.position
