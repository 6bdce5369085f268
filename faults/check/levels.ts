/** Names a level over all tenants; no code contains `|`. */
export function levelKey(level: {
  readonly tenant: string;
  readonly warehouse: string;
  readonly product: string;
}): string {
  return `${level.tenant}|${level.warehouse}|${level.product}`;
}
