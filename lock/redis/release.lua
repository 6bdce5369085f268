-- Gives back those of the keys that the owner holds, takes it out of their queues if it waits
-- there, and hands the keys to whoever is next.
--
-- KEYS[1]    waiting
-- KEYS[2]    fence
-- KEYS[3..]  the lock keys, unique
-- ARGV[1]    owner
-- ARGV[2]    mode: 'x' exclusive, 's' shared
-- ARGV[3]    '' or the sending of this owner to which this is limited; then shared keys are left
--
-- Returns how many keys were given back.
local owner, sending = ARGV[1], ARGV[3]
local count = 0
if ARGV[2] == 's' then
  for i = 3, sending == '' and #KEYS or 0 do
    if redis.call('TYPE', KEYS[i]).ok == 'zset' then
      count = count + redis.call('ZREM', KEYS[i], owner)
    end
  end
else
  local start = owner .. ' '
  local values = redis.call('MGET', unpack(KEYS, 3))
  local mine = {}
  -- Keys taken together hold the same value, so one look into it does for all of them.
  local known
  for i = 1, #values do
    local value = values[i]
    if value and (value == known or (string.sub(value, 1, #start) == start
      and (sending == '' or string.sub(value, -#sending - 1) == ' ' .. sending))) then
      known = value
      count = count + 1
      mine[count] = KEYS[i + 2]
    end
  end
  if count > 0 then redis.call('DEL', unpack(mine)) end
end

if redis.call('EXISTS', KEYS[1]) == 0 or not queued() then return count end
