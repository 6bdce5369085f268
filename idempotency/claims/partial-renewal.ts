/**
 * What became of renewals that went out in several parts, as `ClaimStore.renew` tells it: one
 * server of a cluster may be gone while the others renewed theirs.
 *
 * @returns per claim, undefined where its part failed
 * @throws the first failure, when every one failed
 */
export async function partialRenewal(
  renewals: readonly Promise<boolean>[],
): Promise<(boolean | undefined)[]> {
  const results = await Promise.allSettled(renewals);
  const failed = results.filter((result) => result.status === 'rejected');
  if (failed[0] && failed.length === results.length) throw failed[0].reason;
  return results.map((result) => (result.status === 'fulfilled' ? result.value : undefined));
}
