import type { IdempotencyRecord } from '../answer.ts';
import { type Claim, ownerLength } from '../claims/claim-store.ts';

/** Hex digits of a fingerprint. */
const fingerprintLength = 64;
const claimLength = 5 + ownerLength + fingerprintLength;
/**
 * `ik1r`, fingerprint, u32 total length, u16 status, u16 length of the headers' JSON. Where
 * {@link expiryFlag} is set in the status, an f64 follows: when the record expires.
 */
const recordHeadLength = 4 + fingerprintLength + 8;
const expiryLength = 8;
/** Above every status, so that who does not know it finds the value unreadable, not immortal. */
const expiryFlag = 0x8000;

/**
 * A completed value that is no record: damaged, or written by a later version.
 *
 * A store throws it when it is the only memory and running the request again could repeat its
 * effect.
 */
export class UnreadableAnswer extends Error {
  constructor() {
    super('The stored answer of this key cannot be read. It holds the key until it expires.');
    this.name = 'UnreadableAnswer';
  }
}

/** @throws TypeError when a part has another length, which would shift what follows it */
export function encodeClaim(claim: Claim): string {
  const value = `ik1c-${claim.owner}${claim.fingerprint}`;
  if (Buffer.byteLength(value) !== claimLength || claim.owner.length !== ownerLength) {
    throw new TypeError(
      `An owner has ${ownerLength} ASCII characters, a fingerprint ${fingerprintLength}.`,
    );
  }
  return value;
}

/** Bytes of a completed value: 76, 8 more when it expires, headers' JSON and body. */
export function encodeRecord(record: IdempotencyRecord): Buffer {
  if (record.fingerprint.length !== fingerprintLength) {
    throw new TypeError(`A fingerprint has ${fingerprintLength} ASCII characters.`);
  }
  const { status, headers, body } = record.answer;
  // NaN and the infinities bound nothing.
  const expires = Number.isFinite(record.expiresAt);
  const headLength = recordHeadLength + (expires ? expiryLength : 0);
  const headerText = JSON.stringify(headers);
  const headerLength = Buffer.byteLength(headerText);
  const bodyAt = headLength + headerLength;
  const value = Buffer.allocUnsafe(bodyAt + body.length);
  value.write(`ik1r${record.fingerprint}`, 'latin1');
  value.writeUInt32BE(value.length, 4 + fingerprintLength);
  value.writeUInt16BE(expires ? status | expiryFlag : status, 8 + fingerprintLength);
  value.writeUInt16BE(headerLength, 10 + fingerprintLength);
  if (expires) value.writeDoubleBE(record.expiresAt as number, recordHeadLength);
  value.write(headerText, headLength);
  value.set(body, bodyAt);
  return value;
}

/** @returns undefined when the value is not a whole record */
export function decodeRecord(value: Buffer): IdempotencyRecord | undefined {
  if (value.length < recordHeadLength || value.toString('latin1', 0, 4) !== 'ik1r')
    return undefined;
  if (value.readUInt32BE(4 + fingerprintLength) !== value.length) return undefined;
  const flagged = value.readUInt16BE(8 + fingerprintLength);
  const status = flagged & ~expiryFlag;
  const headLength = recordHeadLength + (status === flagged ? 0 : expiryLength);
  const bodyAt = headLength + value.readUInt16BE(10 + fingerprintLength);
  if (bodyAt > value.length || status < 100 || status > 999) return undefined;
  const headers = parseHeaders(value.toString('utf8', headLength, bodyAt));
  if (!headers) return undefined;
  const fingerprint = value.toString('latin1', 4, 4 + fingerprintLength);
  // Copied: the reply may be a slice of a large socket buffer that a cache must not keep alive.
  const answer = { status, headers, body: Buffer.from(value.subarray(bodyAt)) };
  if (status === flagged) return { fingerprint, answer };
  return { fingerprint, answer, expiresAt: value.readDoubleBE(recordHeadLength) };
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

/** Whether a value is meant as a record, whole or not. */
export function isRecord(value: unknown): boolean {
  return Buffer.isBuffer(value) && value.toString('latin1', 0, 4) === 'ik1r';
}
