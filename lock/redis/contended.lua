-- The end of acquire.lua where a key is held, somebody waits, or the mode is shared.
local mode, client = ARGV[3], ARGV[4]
local sending = string.match(ARGV[6], ' (.+)') or ''

local ok, left, foreign = open(owner, mode, keys)
if ok then
  if redis.call('EXISTS', ticketOf(owner)) == 1 then quit(owner, keys, sending) end
  return grant(owner, mode, lease, keys, sending)
end

if foreign then
  leave(owner, keys)
  return redis.error_reply('FOREIGN ' .. foreign)
end

if client ~= '' then
  -- Asking again keeps the place and renews what may have been lost. Everything a dead waiter
  -- leaves behind is gone after three times the time for which it counts as alive.
  local aliveMs = tonumber(ARGV[5])
  local mine = ticketOf(owner)
  local known = redis.call('HMGET', mine, 'place', 'calls')
  local place, calls = known[1], {}
  if not place then
    place = string.format('%.0f', mint())
    redis.call('HSET', mine, 'mode', mode, 'lease', lease, 'place', place,
      'keys', cmsgpack.pack(keys))
  end
  for _, call in ipairs(known[2] and cmsgpack.unpack(known[2]) or {}) do
    if call[1] ~= sending and call[3] >= now then calls[#calls + 1] = call end
  end
  calls[#calls + 1] = { sending, client, now + aliveMs }
  redis.call('HSET', mine, 'calls', cmsgpack.pack(calls))
  redis.call('PEXPIRE', mine, 3 * aliveMs)
  redis.call('ZREMRANGEBYSCORE', waiting, '-inf', '(' .. now)
  redis.call('ZADD', waiting, now + aliveMs, owner)
  redis.call('PEXPIRE', waiting, 3 * aliveMs)
  for i = 1, #keys do
    redis.call('ZADD', queueOf(keys[i]), place, owner)
    redis.call('PEXPIRE', queueOf(keys[i]), 3 * aliveMs)
  end
end

-- Nobody holds the keys, yet others stand before: a lease ran out and nobody passed it on.
if left == 0 then sweep(keys) end
return -1 - left
