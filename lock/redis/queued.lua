-- Whether anybody waits for one of the keys, which is asked only when anybody waits at all. So those
-- who wait for a hot key cost little to everybody else.
--
-- KEYS[1]    waiting
-- KEYS[3..]  the lock keys; each has its queue, see queue.lua
local function queued()
  local start = string.sub(KEYS[1], 1, -8) .. 'queue:'
  local queues = {}
  for i = 3, #KEYS do queues[i - 2] = start .. KEYS[i] end
  return redis.call('EXISTS', unpack(queues)) > 0
end
