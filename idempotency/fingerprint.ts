import { createHash, hash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

export interface RequestIdentity {
  method: string;
  /** The path as it was requested, without the query. */
  path: string;
  /** The raw query string without `?`. Default: none. */
  query?: string | undefined;
}

/**
 * SHA-256 (hex) of method, path, query and the canonical form of a JSON body.
 *
 * Member order and white space of the body do not matter; the order of query parameters does.
 * A request without a body (`undefined`) differs from one with `null`.
 * @throws NotCanonical see {@link canonicalJson}
 */
export function fingerprint(request: RequestIdentity & { body: unknown }): string {
  const body = request.body === undefined ? '' : canonicalJson(request.body);
  return hash('sha256', `json ${head(request)}${body}`, 'hex');
}

/** {@link fingerprint} for a body that is not JSON: its exact bytes count. */
export function rawFingerprint(request: RequestIdentity & { body: Uint8Array }): string {
  return createHash('sha256')
    .update(`raw ${head(request)}`)
    .update(request.body)
    .digest('hex');
}

// Lengths keep `a` + `bc` apart from `ab` + `c`.
function head({ method, path, query = '' }: RequestIdentity): string {
  return `${method.length}:${method}${path.length}:${path}${query.length}:${query}\n`;
}
