/**
 * The SQL of the classic design. A command of one line takes the scalar statements, which pgbench
 * runs as well (pgbench.ts); more lines take one set-based statement each, so that the number of
 * round trips does not grow with the lines.
 */
export const insertKey = {
  name: 'insert-key',
  text: `INSERT INTO keys (tenant, key, posting_id) VALUES ($1, $2, $3)
    ON CONFLICT DO NOTHING RETURNING posting_id`,
};

export const lockLevel = {
  name: 'lock-level',
  text: `SELECT on_hand, reserved FROM levels
    WHERE tenant = $1 AND warehouse = $2 AND product = $3 FOR UPDATE`,
};

export const updateLevel = {
  name: 'update-level',
  text: `UPDATE levels SET on_hand = $4, reserved = $5
    WHERE tenant = $1 AND warehouse = $2 AND product = $3`,
};

export const insertMovement = {
  name: 'insert-movement',
  text: `INSERT INTO movements (tenant, posting_id, position, warehouse, product, on_hand_change,
      reserved_change, on_hand, reserved)
    VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8) RETURNING recorded_at`,
};

/** Rows are locked in the order of the arrays, which the caller has sorted. */
export const lockLevels = {
  name: 'lock-levels',
  text: `SELECT l.on_hand, l.reserved
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS line (warehouse, product, position)
    CROSS JOIN LATERAL (
      SELECT on_hand, reserved FROM levels
      WHERE tenant = $1 AND warehouse = line.warehouse AND product = line.product FOR UPDATE) l
    ORDER BY line.position`,
};

export const updateLevels = {
  name: 'update-levels',
  text: `UPDATE levels SET on_hand = line.on_hand, reserved = line.reserved
    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])
      AS line (warehouse, product, on_hand, reserved)
    WHERE tenant = $1 AND levels.warehouse = line.warehouse AND levels.product = line.product`,
};

export const insertMovements = {
  name: 'insert-movements',
  text: `INSERT INTO movements (tenant, posting_id, position, warehouse, product, on_hand_change,
      reserved_change, on_hand, reserved)
    SELECT $1, $2, position - 1, warehouse, product, on_hand_change, reserved_change, on_hand,
      reserved
    FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
      WITH ORDINALITY AS line (warehouse, product, on_hand_change, reserved_change, on_hand,
        reserved, position)
    RETURNING recorded_at`,
};

export const insertReservation = {
  name: 'insert-reservation',
  text: `INSERT INTO reservations (tenant, reservation_id, warehouse, product, quantity)
    SELECT $1, $2, $3, product, quantity
    FROM unnest($4::text[], $5::bigint[]) AS line (product, quantity)`,
};

export const shipReservation = {
  name: 'ship-reservation',
  text: `UPDATE reservations SET shipped = true
    WHERE tenant = $1 AND reservation_id = $2 AND NOT shipped`,
};

export const findReservation = {
  name: 'find-reservation',
  text: `SELECT warehouse, product, quantity FROM reservations
    WHERE tenant = $1 AND reservation_id = $2 ORDER BY product`,
};

/** What a key became: the movements of its posting. */
export const findAnswer = {
  name: 'find-answer',
  text: `SELECT m.posting_id, m.recorded_at, m.warehouse, m.product, m.on_hand_change,
      m.reserved_change, m.on_hand, m.reserved
    FROM keys k JOIN movements m ON m.tenant = k.tenant AND m.posting_id = k.posting_id
    WHERE k.tenant = $1 AND k.key = $2 ORDER BY m.position`,
};

export const findLevel = {
  name: 'find-level',
  text: `SELECT on_hand, reserved FROM levels
    WHERE tenant = $1 AND warehouse = $2 AND product = $3`,
};
