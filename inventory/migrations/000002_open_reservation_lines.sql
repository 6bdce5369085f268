-- One index of all lines that hold units, by level, in place of that of the lines that expire:
-- `verify` sums what is held, and without it read every line there ever was, for each page of levels.
CREATE INDEX reservation_lines_open
  ON reservation_lines (tenant_id, warehouse, product, expires_at)
  WHERE shipped + released + expired < quantity;
DROP INDEX reservation_lines_expiring;
