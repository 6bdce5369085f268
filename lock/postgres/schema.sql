-- The tables and functions of postgresDriver. May be run again at any time, by several at once.
--
-- The tables are unlogged: after a crash of the server nobody holds anything, and tokens go on from
-- the clock. Every function holds one advisory lock until its statement's transaction ends, so they
-- act one after the other; none leaves anything in the session, so a pooler may sit in between.
--
-- It is one statement, so that whoever sends it, psql too, has all of it in one transaction behind
-- the lock: CREATE … IF NOT EXISTS fails where another session has just begun to create the same.
DO $install$ BEGIN
PERFORM pg_advisory_xact_lock(hashtextextended('onhand_lock', 0));

CREATE SCHEMA IF NOT EXISTS onhand_lock;

CREATE UNLOGGED TABLE IF NOT EXISTS onhand_lock.holder (
  key text NOT NULL,
  owner text NOT NULL,
  shared boolean NOT NULL,
  token bigint NOT NULL,
  since timestamptz NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (key, owner)
);
-- Which of its owner's calls took or awaits it; empty where an owner claims only once.
ALTER TABLE onhand_lock.holder ADD COLUMN IF NOT EXISTS sending text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS holder_until ON onhand_lock.holder (until);

-- Each call that waits; those of one owner share its place, which is its order of arrival.
-- alive_until: it leaves unless it asks again by then.
CREATE UNLOGGED TABLE IF NOT EXISTS onhand_lock.waiter (
  owner text NOT NULL,
  place bigint NOT NULL,
  shared boolean NOT NULL,
  keys text[] NOT NULL,
  alive_until timestamptz NOT NULL
);
ALTER TABLE onhand_lock.waiter ADD COLUMN IF NOT EXISTS sending text NOT NULL DEFAULT '';
-- It was the owner alone, of whose calls only the last had a row.
ALTER TABLE onhand_lock.waiter DROP CONSTRAINT IF EXISTS waiter_pkey;
CREATE UNIQUE INDEX IF NOT EXISTS waiter_call ON onhand_lock.waiter (owner, sending);

-- One row: the last token given out.
CREATE UNLOGGED TABLE IF NOT EXISTS onhand_lock.last_token (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  token bigint NOT NULL
);

-- The clock in microseconds, or the last token + 1 where that is later.
CREATE OR REPLACE FUNCTION onhand_lock.mint() RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO onhand_lock.last_token AS last (token)
  VALUES ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
  ON CONFLICT (id) DO UPDATE SET token = greatest(last.token + 1, excluded.token)
  RETURNING token
$$;

CREATE OR REPLACE FUNCTION onhand_lock.enter() RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('onhand_lock', 0));
  DELETE FROM onhand_lock.holder WHERE until <= clock_timestamp();
  DELETE FROM onhand_lock.waiter WHERE alive_until < clock_timestamp();
  RETURN clock_timestamp();
END
$$;

-- Their last parameter is new; without this the older ones would stand beside them.
DROP FUNCTION IF EXISTS onhand_lock.acquire(text[], text, boolean, bigint, boolean, bigint);
DROP FUNCTION IF EXISTS onhand_lock.release(text[], text);

-- Takes all keys or none; with wait, a refused owner gets a place in the queue.
-- Returns  token (> 0)  all keys are held
--          -1 - n       nothing was taken; the lease in the way ends in n ms, or n = 0: others wait
CREATE OR REPLACE FUNCTION onhand_lock.acquire(
  wanted text[], who text, in_shared boolean, lease_ms bigint, wait boolean, alive_ms bigint,
  in_sending text DEFAULT ''
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  at timestamptz := onhand_lock.enter();
  contested text[];
  blocked timestamptz;
  my_place bigint;
  new_token bigint;
BEGIN
  SELECT max(h.until) INTO blocked FROM onhand_lock.holder h
   WHERE h.key = ANY (wanted) AND NOT (h.shared AND in_shared)
     AND NOT (h.owner = who AND h.shared = in_shared);
  SELECT min(w.place) INTO my_place FROM onhand_lock.waiter w WHERE w.owner = who;
  IF blocked IS NULL THEN
    SELECT array_agg(k) INTO contested FROM unnest(wanted) AS k
     WHERE NOT EXISTS (SELECT FROM onhand_lock.holder h WHERE h.key = k AND h.owner = who);
    IF NOT EXISTS (
      SELECT FROM onhand_lock.waiter w
       WHERE w.owner <> who AND w.keys && contested AND NOT (w.shared AND in_shared)
         AND (my_place IS NULL OR w.place < my_place)
    ) THEN
      DELETE FROM onhand_lock.waiter w WHERE w.owner = who AND w.sending = in_sending;
      new_token := onhand_lock.mint();
      INSERT INTO onhand_lock.holder (key, owner, shared, token, since, until, sending)
      SELECT k, who, in_shared, new_token, at, at + lease_ms * interval '1 ms', in_sending
        FROM unnest(wanted) AS k
      ON CONFLICT (key, owner) DO UPDATE
         SET token = excluded.token, since = excluded.since, until = excluded.until,
             sending = excluded.sending;
      RETURN new_token;
    END IF;
  END IF;
  IF wait THEN
    INSERT INTO onhand_lock.waiter AS w (owner, place, shared, keys, alive_until, sending)
    VALUES (who, coalesce(my_place, onhand_lock.mint()), in_shared, wanted,
            at + alive_ms * interval '1 ms', in_sending)
    ON CONFLICT (owner, sending) DO UPDATE SET alive_until = excluded.alive_until;
  END IF;
  RETURN -1 - coalesce(ceil(extract(epoch FROM blocked - at) * 1000)::bigint, 0);
END
$$;

-- Starts the lease of all keys anew if the owner holds every one.
CREATE OR REPLACE FUNCTION onhand_lock.extend(
  wanted text[], who text, in_shared boolean, lease_ms bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  at timestamptz := onhand_lock.enter();
  held bigint;
BEGIN
  SELECT count(*) INTO held FROM onhand_lock.holder h
   WHERE h.key = ANY (wanted) AND h.owner = who AND h.shared = in_shared;
  IF held < cardinality(wanted) THEN RETURN false; END IF;
  UPDATE onhand_lock.holder h SET until = at + lease_ms * interval '1 ms'
   WHERE h.key = ANY (wanted) AND h.owner = who;
  RETURN true;
END
$$;

-- Gives back what the owner holds of the keys and ends its waiting; with a sending, only what that
-- one took or awaits. Returns how many.
CREATE OR REPLACE FUNCTION onhand_lock.release(
  wanted text[], who text, only_sending text DEFAULT ''
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  given bigint;
BEGIN
  PERFORM onhand_lock.enter();
  DELETE FROM onhand_lock.waiter w
   WHERE w.owner = who AND only_sending IN ('', w.sending);
  DELETE FROM onhand_lock.holder h
   WHERE h.key = ANY (wanted) AND h.owner = who AND only_sending IN ('', h.sending);
  GET DIAGNOSTICS given = ROW_COUNT;
  RETURN given;
END
$$;

-- Takes one key from its holders. Returns how many there were.
CREATE OR REPLACE FUNCTION onhand_lock.force_release(wanted text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  given bigint;
BEGIN
  PERFORM onhand_lock.enter();
  DELETE FROM onhand_lock.holder h WHERE h.key = wanted;
  GET DIAGNOSTICS given = ROW_COUNT;
  RETURN given;
END
$$;

END $install$;
