-- The first schema. tenant_id leads every primary key and every index, so that tenants can be
-- spread over several databases without a change. Codes and keys use the C collation: the order in
-- which rows are locked must be the same on every server, whatever its locale.

CREATE TABLE tenants (
  tenant_id text COLLATE "C" PRIMARY KEY CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Only the SHA-256 of a key is kept. The unique index on it is the one index that the tenant does
-- not lead: a request names its key before anybody knows its tenant.
CREATE TABLE api_keys (
  tenant_id text COLLATE "C" NOT NULL REFERENCES tenants,
  secret_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(secret_sha256) = 32),
  role text NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  revoked_at timestamptz,
  PRIMARY KEY (tenant_id, name)
);

CREATE TABLE warehouses (
  tenant_id text COLLATE "C" NOT NULL,
  warehouse text COLLATE "C" NOT NULL CHECK (warehouse ~ '^[A-Za-z0-9._:-]{1,64}$'),
  name text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, warehouse)
);

CREATE TABLE products (
  tenant_id text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL CHECK (product ~ '^[A-Za-z0-9._:-]{1,64}$'),
  name text,
  allow_backorder boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, product)
);

-- Every batch asks which of its products allow backorder; most often none.
CREATE INDEX products_on_backorder ON products (tenant_id, product) WHERE allow_backorder;

-- One row per warehouse and product: the only rows that movements are serialised on. Half of each
-- page stays free, so that an update lands on the same page and touches no index (HOT).
-- may_be_negative is set by a write that the product's backorder setting allows to go below zero;
-- without it the CHECK refuses what the service should have refused.
CREATE TABLE levels (
  tenant_id text COLLATE "C" NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  on_hand bigint NOT NULL DEFAULT 0 CHECK (on_hand BETWEEN -9007199254740991 AND 9007199254740991),
  reserved bigint NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND 9007199254740991),
  sequence bigint NOT NULL DEFAULT 0 CHECK (sequence >= 0),
  hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
  recorded_at timestamptz NOT NULL DEFAULT 'epoch',
  may_be_negative boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant_id, warehouse, product),
  CONSTRAINT levels_not_oversold CHECK (may_be_negative OR (on_hand >= 0 AND reserved <= on_hand))
) WITH (fillfactor = 50);

CREATE INDEX levels_by_product ON levels (tenant_id, product, warehouse);

CREATE TABLE postings (
  tenant_id text COLLATE "C" NOT NULL,
  posting_id uuid NOT NULL,
  type text NOT NULL,
  reference text,
  note text,
  occurred_at timestamptz,
  metadata json,
  reason text,
  reservation_id uuid,
  reverses uuid,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, posting_id)
);

CREATE UNIQUE INDEX postings_reversed_once ON postings (tenant_id, reverses)
  WHERE reverses IS NOT NULL;

-- The primary key is the guard behind the row locks: two writers of one level cannot both have
-- written its next sequence.
CREATE TABLE movements (
  tenant_id text COLLATE "C" NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  sequence bigint NOT NULL CHECK (sequence > 0),
  posting_id uuid NOT NULL,
  position integer NOT NULL,
  on_hand_change bigint NOT NULL,
  reserved_change bigint NOT NULL,
  on_hand bigint NOT NULL,
  reserved bigint NOT NULL CHECK (reserved >= 0),
  unit_cost text,
  recorded_at timestamptz NOT NULL,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (tenant_id, warehouse, product, sequence)
);

CREATE INDEX movements_by_posting ON movements (tenant_id, posting_id, position);

CREATE FUNCTION refuse_change_of_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation',
          HINT = 'Reverse a posting with a new one.';
END
$$;

CREATE TRIGGER movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();
CREATE TRIGGER postings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_ledger();

CREATE TABLE reservations (
  tenant_id text COLLATE "C" NOT NULL,
  reservation_id uuid NOT NULL,
  posting_id uuid NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  reference text,
  expires_at timestamptz,
  closed boolean NOT NULL DEFAULT false,
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, reservation_id)
);

CREATE INDEX reservations_open ON reservations (tenant_id, reservation_id) WHERE NOT closed;

-- expires_at repeats the reservation's, so that the holds of a level that are overdue are one index
-- range. A line changes only under the lock of its level.
CREATE TABLE reservation_lines (
  tenant_id text COLLATE "C" NOT NULL,
  reservation_id uuid NOT NULL,
  position integer NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  quantity bigint NOT NULL CHECK (quantity > 0),
  shipped bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
  released bigint NOT NULL DEFAULT 0 CHECK (released >= 0),
  expired bigint NOT NULL DEFAULT 0 CHECK (expired >= 0),
  expires_at timestamptz,
  PRIMARY KEY (tenant_id, reservation_id, product),
  CONSTRAINT reservation_lines_held CHECK (shipped + released + expired <= quantity)
);

CREATE INDEX reservation_lines_expiring
  ON reservation_lines (tenant_id, warehouse, product, expires_at)
  WHERE expires_at IS NOT NULL AND shipped + released + expired < quantity;

-- The table of @onhand/idempotency, its scope being the tenant.
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

CREATE TABLE lock_releases (
  tenant_id text COLLATE "C" NOT NULL,
  release_id uuid NOT NULL DEFAULT gen_random_uuid(),
  resource text NOT NULL,
  reason text NOT NULL,
  released_by text NOT NULL,
  released_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, release_id)
);
