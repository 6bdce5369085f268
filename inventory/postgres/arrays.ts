/**
 * Array parameters of set-based statements, written as PostgreSQL array literals.
 *
 * `pg` would write the same text with several passes over each element; these run on every batch.
 *
 * Statements take them apart by `unnest` in a select list, where all go in step. In FROM each would
 * fill a tuplestore of its own, of 16 KB however short the array is: those of one write statement
 * doubled what it cost for one row.
 * Source: PostgreSQL manual, 8.15.6 Array Input and Output Syntax, and SQL Functions Returning
 * Sets.
 */

const NEEDS_ESCAPE = /["\\]/;

/** Every element is quoted, so the text `NULL` stays a text; null is the SQL null. */
export function textArray(values: readonly (string | null)[]): string {
  let literal = '{';
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as string | null;
    if (i > 0) literal += ',';
    if (value === null) literal += 'NULL';
    else if (NEEDS_ESCAPE.test(value)) literal += `"${value.replace(/["\\]/g, '\\$&')}"`;
    else literal += `"${value}"`;
  }
  return `${literal}}`;
}

/** For numbers and booleans: no element holds a character that would need a quote. */
export function plainArray(values: readonly (number | boolean | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : String(value))).join(',')}}`;
}
