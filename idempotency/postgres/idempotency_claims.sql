-- Short-lived claims on idempotency keys, and the answers of late, for services without Redis.
-- Unlogged: losing it in a crash costs speed, never correctness, where records are kept as well. Where they
-- are not, make it a logged one: ALTER TABLE idempotency_claims SET LOGGED.
CREATE UNLOGGED TABLE idempotency_claims (
  scope       text        COLLATE "C" NOT NULL,
  key         text        COLLATE "C" NOT NULL,
  owner       text        COLLATE "C" NOT NULL,
  fingerprint text        COLLATE "C" NOT NULL,
  lease_until timestamptz NOT NULL,
  answer      bytea,
  PRIMARY KEY (scope, key)
) WITH (fillfactor = 70);

CREATE INDEX idempotency_claims_lease ON idempotency_claims (lease_until);
