-- The classic design: a level that is locked and updated, a ledger, and the keys that took effect.
-- Types, checks and the fill factor are Onhand's, so that a row costs the same.
CREATE TABLE levels (
  tenant text COLLATE "C" NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  on_hand bigint NOT NULL DEFAULT 0,
  reserved bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, warehouse, product),
  CHECK (on_hand >= 0 AND reserved BETWEEN 0 AND on_hand)
) WITH (fillfactor = 50);

CREATE TABLE keys (
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  posting_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, key)
);

CREATE TABLE movements (
  tenant text COLLATE "C" NOT NULL,
  posting_id uuid NOT NULL,
  position integer NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  on_hand_change bigint NOT NULL,
  reserved_change bigint NOT NULL,
  on_hand bigint NOT NULL,
  reserved bigint NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, posting_id, position)
);

CREATE TABLE reservations (
  tenant text COLLATE "C" NOT NULL,
  reservation_id uuid NOT NULL,
  warehouse text COLLATE "C" NOT NULL,
  product text COLLATE "C" NOT NULL,
  quantity bigint NOT NULL CHECK (quantity > 0),
  shipped boolean NOT NULL DEFAULT false,
  PRIMARY KEY (tenant, reservation_id, product)
);
