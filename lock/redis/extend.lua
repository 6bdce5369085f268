-- Starts the lease of all keys anew, if the owner holds every one of them.
--
-- KEYS[1]    waiting (unused)
-- KEYS[2]    fence
-- KEYS[3..]  the lock keys, unique
-- ARGV[1]    owner
-- ARGV[2]    lease in ms, from now
-- ARGV[3]    mode: 'x' exclusive, 's' shared
-- ARGV[4]    token that later ones must exceed, 0 = leave the fence; for leases over several slots
--
-- Returns  1  extended
--          0  at least one key is not the owner's; nothing was changed
local owner, lease = ARGV[1], ARGV[2]
local shared = ARGV[3] == 's'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if shared then
  for i = 3, #KEYS do
    if redis.call('TYPE', KEYS[i]).ok ~= 'zset' then return 0 end
    if tonumber(redis.call('ZSCORE', KEYS[i], owner) or 0) <= now then return 0 end
  end
else
  local start = owner .. ' '
  local values = redis.call('MGET', unpack(KEYS, 3))
  for i = 1, #values do
    if not values[i] or string.sub(values[i], 1, #start) ~= start then return 0 end
  end
end

for i = 3, #KEYS do
  if shared then redis.call('ZADD', KEYS[i], now + lease, owner) end
  if not shared or redis.call('PTTL', KEYS[i]) < tonumber(lease) then
    redis.call('PEXPIRE', KEYS[i], lease)
  end
end
local floor = tonumber(ARGV[4])
if floor > 0 and floor > (tonumber((redis.pcall('GET', KEYS[2]))) or 0) then
  redis.call('SET', KEYS[2], ARGV[4])
end
return 1
