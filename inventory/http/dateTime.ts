// Years that PostgreSQL and JavaScript agree on, in the form of RFC 3339.
const DATE_TIME =
  /^((?:19|[2-9]\d)\d\d)-(\d\d)-(\d\d)[Tt](?:[01]\d|2[0-3]):\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * Whether a text is a time of RFC 3339 that exists. `Date.parse` alone reads 30 February as 2
 * March, and an offset can lead beyond the year 9999.
 */
export function isDateTime(text: string): boolean {
  const [, year, month, day] = DATE_TIME.exec(text) ?? [];
  const at = new Date(text.toUpperCase());
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return year !== undefined && Number(day) <= daysOfMonth && at.getUTCFullYear() <= 9999;
}
