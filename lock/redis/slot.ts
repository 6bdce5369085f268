/** Slots of a Redis Cluster. */
export const slotCount = 16_384;

/**
 * CRC16 (XMODEM), as Redis Cluster hashes keys.
 * @see https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
 */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
    }
  }
  return crc;
}

/** The cluster slot of a key: of its hash tag `{…}`, where it has one that is not empty. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  return crc16(Buffer.from(hashed)) % slotCount;
}

const tags = new Map<number, string>();
let candidates = 0;

/**
 * A short hash tag that lies in the slot, the same in every process. All of a slot's queues live
 * under it, so the number of such keys is bounded however many lock keys there are.
 */
export function tagOfSlot(slot: number): string {
  // About 170,000 candidates cover every slot: 30 ms in total over the life of the process.
  for (;;) {
    const known = tags.get(slot);
    if (known !== undefined) return known;
    const tag = (candidates++).toString(36);
    const its = slotOf(tag);
    if (!tags.has(its)) tags.set(its, tag);
  }
}
