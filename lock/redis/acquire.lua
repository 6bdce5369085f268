-- Takes all keys for one owner, or none.
--
-- KEYS[1]    fence: the last token given out under this prefix
-- KEYS[2..]  the lock keys, unique
-- ARGV[1]    owner, without spaces
-- ARGV[2]    lease in ms
--
-- A lock key holds "<owner> <token>" and expires with the lease.
-- The token is the server's clock in microseconds, or the last token + 1 if that is later: it rises
-- when the clock is set back, and it still rises when Redis has lost its data.
--
-- Returns  token (> 0)  all keys are held
--          -1 - n       nothing was taken; the lease in the way ends in n ms
local count = #KEYS
local owner = ARGV[1] .. ' '

-- unpack() pushes its result on a stack of 8,000 slots.
local held = 0
for first = 2, count, 4000 do
  held = held + redis.call('EXISTS', unpack(KEYS, first, math.min(first + 3999, count)))
end
if held > 0 then
  for i = 2, count do
    local value = redis.call('GET', KEYS[i])
    if value and string.sub(value, 1, #owner) ~= owner then
      return -1 - math.max(redis.call('PTTL', KEYS[i]), 0)
    end
  end
end

local time = redis.call('TIME')
local token = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[1]))
if last and last >= token then token = last + 1 end
-- A day: longer than any clock is set back.
redis.call('SET', KEYS[1], token, 'PX', 86400000)

local value = owner .. string.format('%.0f', token)
for i = 2, count do
  redis.call('SET', KEYS[i], value, 'PX', ARGV[2])
end
return token
