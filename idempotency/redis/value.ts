import type { IdempotencyRecord } from '../answer.ts';
import { type Claim, ownerLength } from '../claims/claim-store.ts';

/** Hex digits of a fingerprint. */
const fingerprintLength = 64;
const claimLength = 5 + ownerLength + fingerprintLength;
/** `ik1r`, fingerprint, u32 total length, u16 status, u16 length of the headers' JSON. */
const recordHeadLength = 4 + fingerprintLength + 8;

export function encodeClaim(claim: Claim): string {
  return `ik1c-${claim.owner}${claim.fingerprint}`;
}

/** Bytes of a completed value: 76 + headers' JSON + body. */
export function encodeRecord(record: IdempotencyRecord): Buffer {
  const { status, headers, body } = record.answer;
  const headerText = JSON.stringify(headers);
  const headerLength = Buffer.byteLength(headerText);
  const bodyAt = recordHeadLength + headerLength;
  const value = Buffer.allocUnsafe(bodyAt + body.length);
  value.write(`ik1r${record.fingerprint}`, 'latin1');
  value.writeUInt32BE(value.length, 4 + fingerprintLength);
  value.writeUInt16BE(status, 8 + fingerprintLength);
  value.writeUInt16BE(headerLength, 10 + fingerprintLength);
  value.write(headerText, recordHeadLength);
  value.set(body, bodyAt);
  return value;
}

/** @returns undefined when the value is not a whole record */
export function decodeRecord(value: Buffer): IdempotencyRecord | undefined {
  if (value.length < recordHeadLength || value.toString('latin1', 0, 4) !== 'ik1r')
    return undefined;
  if (value.readUInt32BE(4 + fingerprintLength) !== value.length) return undefined;
  const status = value.readUInt16BE(8 + fingerprintLength);
  const bodyAt = recordHeadLength + value.readUInt16BE(10 + fingerprintLength);
  if (bodyAt > value.length || status < 100 || status > 999) return undefined;
  const headers = parseHeaders(value.toString('utf8', recordHeadLength, bodyAt));
  if (!headers) return undefined;
  const fingerprint = value.toString('latin1', 4, 4 + fingerprintLength);
  // Copied: the reply may be a slice of a large socket buffer that a cache must not keep alive.
  return { fingerprint, answer: { status, headers, body: Buffer.from(value.subarray(bodyAt)) } };
}

function parseHeaders(text: string): Record<string, string> | undefined {
  try {
    const headers: unknown = JSON.parse(text);
    if (typeof headers !== 'object' || headers === null) return undefined;
    for (const value of Object.values(headers)) if (typeof value !== 'string') return undefined;
    return headers as Record<string, string>;
  } catch {
    return undefined;
  }
}

/** @returns the fingerprint of a claim value, undefined when it is not one */
export function decodeClaim(value: Buffer): string | undefined {
  if (value.length !== claimLength || value.toString('latin1', 0, 4) !== 'ik1c') return undefined;
  return value.toString('latin1', 5 + ownerLength);
}
