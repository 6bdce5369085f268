-- Gives back those of the keys that the owner holds.
--
-- KEYS[1..]  the lock keys, unique
-- ARGV[1]    owner
--
-- Returns how many keys were given back.
local owner = ARGV[1] .. ' '
local length = #owner
local mine = {}
for first = 1, #KEYS, 4000 do
  local values = redis.call('MGET', unpack(KEYS, first, math.min(first + 3999, #KEYS)))
  for i = 1, #values do
    local value = values[i]
    if value and string.sub(value, 1, length) == owner then
      mine[#mine + 1] = KEYS[first + i - 1]
    end
  end
end
for first = 1, #mine, 4000 do
  redis.call('DEL', unpack(mine, first, math.min(first + 3999, #mine)))
end
return #mine
