/** Most keys one call may take: the service's largest batch, and a script of about 2 ms. */
export const keysMax = 4_000;
/** Longest key in UTF-16 units. */
export const keyLengthMax = 512;

/**
 * Sorts and deduplicates the keys of one call. Keys that are sorted already cost one pass.
 * @throws TypeError when there is no key, too many, or one that is no usable name
 */
export function normaliseKeys(keys: readonly string[]): readonly string[] {
  if (keys.length === 0) throw new TypeError('a lock needs at least one key');
  let ascending = true;
  let before = '';
  for (const key of keys) {
    if (typeof key !== 'string' || key.length === 0 || key.length > keyLengthMax) {
      throw new TypeError(`a lock key is a string of 1 to ${keyLengthMax} characters`);
    }
    // The drivers' own keys start with a tilde.
    if (key.startsWith('~')) throw new TypeError(`a lock key must not start with a tilde: ${key}`);
    // The first key is compared with '', which is below every key.
    if (key <= before) ascending = false;
    before = key;
  }
  const unique = ascending ? [...keys] : [...new Set(keys)].sort();
  if (unique.length > keysMax) throw new TypeError(`a lock takes at most ${keysMax} keys`);
  return unique;
}

/** @throws TypeError unless the prefix can stand before every key without changing its hash tag */
export function checkPrefix(prefix: string): string {
  if (!/^[^\s{}~]{1,100}$/.test(prefix)) {
    throw new TypeError('a lock prefix is 1 to 100 characters, without white space, braces or ~');
  }
  return prefix;
}
