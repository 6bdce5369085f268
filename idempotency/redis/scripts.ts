import { createHash } from 'node:crypto';

/**
 * The Lua scripts of the Redis store. All keys of one call share one hash slot.
 *
 * A value is `ik1c` flag owner(24) fingerprint(64), a claim, or `ik1r` …, a completed record (see
 * `value.ts`). The flag is `-`, or `w` once someone elsewhere waits: only then is it published that
 * there is news, on the channel that is named like the key. A user who may not publish (an ACL
 * without channels, as Redis makes them) fails no script: who waits looks by itself as well, see
 * `wait-elsewhere.ts`. Any other value is foreign and counts as absent.
 */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

function script(text: string): Script {
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

/**
 * Claims keys. KEYS[i]: key of entry i. ARGV[1]: lease, ms. ARGV[1+i]: claim value of entry i.
 * Returns per entry: nil = claimed · {value, lease left in ms} = claimed by another · value =
 * completed.
 */
export const claimScript = script(`
local out = {}
for i, key in ipairs(KEYS) do
  local value = ARGV[i + 1]
  local held = redis.pcall('SET', key, value, 'NX', 'GET', 'PX', ARGV[1])
  local kind = type(held) == 'string' and string.sub(held, 1, 4)
  out[i] = false
  if type(held) == 'table' and not string.find(held.err, 'WRONGTYPE', 1, true) then
    return held
  elseif kind == 'ik1r' then
    out[i] = held
  elseif held then
    local left = kind == 'ik1c' and #held == #value and redis.call('PTTL', key) or -1
    if left < 0 or string.sub(held, 6, 29) == string.sub(value, 6, 29) then
      redis.call('SET', key, value, 'PX', ARGV[1])
    else
      if string.sub(held, 5, 5) ~= 'w' then redis.call('SETRANGE', key, 4, 'w') end
      out[i] = {held, left}
    end
  end
end
return out`);

/**
 * Completes claims. KEYS[i]: key of entry i. ARGV[1]: time to live of all, ms. ARGV[2]: all values,
 * joined; each has its length behind its fingerprint. ARGV[3]: all owners, joined.
 * Returns per entry: 1 = completed · 0 = the owner does not hold the claim.
 *
 * Each call from a script costs as much as what it does: one MGET reads all keys, and gives nil for
 * those of another type. A key comes twice only where one of its owners does not hold it.
 */
export const completeScript = script(`
local out, at, held = {}, 1, redis.call('MGET', unpack(KEYS))
for i, key in ipairs(KEYS) do
  local owner = string.sub(ARGV[3], 24 * i - 23, 24 * i)
  local length = struct.unpack('>I4', ARGV[2], at + 68)
  local head = held[i]
  out[i] = 0
  if head and string.sub(head, 1, 4) == 'ik1c' and string.sub(head, 6, 29) == owner then
    redis.call('SET', key, string.sub(ARGV[2], at, at + length - 1), 'PX', ARGV[1])
    if string.sub(head, 5, 5) == 'w' then redis.pcall('PUBLISH', key, '') end
    out[i] = 1
  end
  at = at + length
end
return out`);

/**
 * Wakes who waits for the claims KEYS, whose records are committed.
 *
 * One MGET: it costs a third of what a GET of each does, and gives nil for keys of another type.
 */
export const settleScript = script(`
for i, held in ipairs(redis.call('MGET', unpack(KEYS))) do
  if held and string.sub(held, 1, 5) == 'ik1cw' then redis.pcall('PUBLISH', KEYS[i], '') end
end`);

/**
 * Releases claims. KEYS[i]: key of entry i. ARGV[i]: owner.
 * Returns per entry: 1 = released · 0 = the owner does not hold the claim.
 */
export const releaseScript = script(`
local out = {}
for i, key in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', key, 0, 28)
  out[i] = 0
  if type(head) == 'string' and string.sub(head, 1, 4) == 'ik1c' and string.sub(head, 6) == ARGV[i] then
    redis.call('DEL', key)
    if string.sub(head, 5, 5) == 'w' then redis.pcall('PUBLISH', key, '') end
    out[i] = 1
  end
end
return out`);

/**
 * Renews leases. KEYS[i]: key of entry i. ARGV[1]: lease, ms. ARGV[1+i]: owner.
 * Returns per entry: 1 = renewed · 0 = the owner does not hold the claim.
 */
export const renewScript = script(`
local out = {}
for i, key in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', key, 0, 28)
  out[i] = 0
  if type(head) == 'string' and string.sub(head, 1, 4) == 'ik1c' and string.sub(head, 6) == ARGV[i + 1] then
    out[i] = redis.call('PEXPIRE', key, ARGV[1])
  end
end
return out`);

/** Reads KEYS[1]. Returns {value, lease left in ms}, or nil when absent or of another type. */
export const peekScript = script(`
local held = redis.pcall('GET', KEYS[1])
if type(held) ~= 'string' then return false end
return {held, redis.call('PTTL', KEYS[1])}`);

/** Deletes KEYS[1] while it still holds ARGV[1], a value nobody can read. Returns 1 or 0. */
export const discardScript = script(`
if redis.pcall('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`);
