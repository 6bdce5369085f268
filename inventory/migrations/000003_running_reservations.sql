-- Those that still run are one range of it, and those without an expiry another: most open
-- reservations of a shop whose carts lapse have expired, and a list of the active ones went through
-- all of them.
CREATE INDEX reservations_running ON reservations (tenant_id, expires_at, reservation_id)
  WHERE NOT closed;
