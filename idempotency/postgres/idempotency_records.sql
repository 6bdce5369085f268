-- What became of each idempotency key: written in the same transaction as the effect.
-- A row is never updated; it is valid until it is deleted, at the earliest at expires_at.
CREATE TABLE idempotency_records (
  scope       text        COLLATE "C" NOT NULL,
  key         text        COLLATE "C" NOT NULL,
  fingerprint bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
  status      smallint    NOT NULL CHECK (status BETWEEN 100 AND 999),
  headers     text        NOT NULL,
  body        bytea       NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (scope, key)
);

-- For the purge, which goes through one scope at a time.
CREATE INDEX idempotency_records_expiry ON idempotency_records (scope, expires_at);
