-- Says who holds and who awaits each of the keys.
--
-- KEYS[1]    waiting
-- KEYS[2]    fence (unused)
-- KEYS[3..]  the lock keys
--
-- Returns one entry a key, numbers as text:
--   { 'free' | 'exclusive' | 'shared', ms until the lease ends, holders, waiters, server ms }
--   holders of an exclusive key: { "<owner> <token> <since>" }; of a shared one: { owner, end in
-- server ms, … }
--   waiters: owners, the next one first
local domain = string.sub(KEYS[1], 1, -8)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kinds = { none = 'free', string = 'exclusive', zset = 'shared' }
local answer = {}
for i = 3, #KEYS do
  local key = KEYS[i]
  local kind = kinds[redis.call('TYPE', key).ok] or 'free'
  local holders = {}
  if kind == 'exclusive' then holders = { redis.call('GET', key) } end
  if kind == 'shared' then
    holders = redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf', 'WITHSCORES')
    if #holders == 0 then kind = 'free' end
  end
  local waiters = redis.call('ZRANGE', domain .. 'queue:' .. key, 0, -1)
  answer[i - 2] = { kind, tostring(redis.call('PTTL', key)), holders, waiters, tostring(now) }
end
return answer
