-- Starts the lease of all keys anew, if the owner holds every one of them.
--
-- KEYS[1..]  the lock keys, unique
-- ARGV[1]    owner
-- ARGV[2]    lease in ms, from now
--
-- Returns  1  extended
--          0  at least one key is not the owner's; nothing was changed
local owner = ARGV[1] .. ' '
local length = #owner
for first = 1, #KEYS, 4000 do
  local values = redis.call('MGET', unpack(KEYS, first, math.min(first + 3999, #KEYS)))
  for i = 1, #values do
    local value = values[i]
    if not value or string.sub(value, 1, length) ~= owner then return 0 end
  end
end
for i = 1, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[2])
end
return 1
