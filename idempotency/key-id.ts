/** One map key for a scope and a key, which cannot collide whatever characters they hold. */
export function keyId(scope: string, key: string): string {
  return `${key.length}:${key}${scope}`;
}
