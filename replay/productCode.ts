const LEGAL = /[A-Za-z0-9._-]/;

/** Longest product code that the service takes, in characters. */
export const productCodeLengthMax = 64;

/**
 * The product code of a stock code: the same, but every character that the service does not take,
 * and the colon that marks them, becomes `:` and two hex digits for each of its UTF-8 bytes.
 *
 * `BANK CHARGES` is `BANK:20CHARGES`. No two stock codes share a product code, and
 * {@link stockCodeOf} gives the stock code back. Case stays: `85123a` is not `85123A`.
 */
export function productCodeOf(stockCode: string): string {
  return Array.from(stockCode, (char) => (LEGAL.test(char) ? char : escaped(char))).join('');
}

function escaped(char: string): string {
  const bytes = [...Buffer.from(char)];
  return bytes.map((byte) => `:${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** The stock code that {@link productCodeOf} made the product code from. */
export function stockCodeOf(productCode: string): string {
  const bytes = productCode.replaceAll(/:([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString();
}
