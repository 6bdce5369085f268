-- Who may have which key next. Joined into the scripts that change that.
--
-- <domain>waiting        KEYS[1] of every script: owner -> alive until, at the latest
-- <domain>fence          KEYS[2] of every script
-- <domain>ticket:OWNER   hash: mode, lease (ms), place, keys (packed), calls (packed: those that
--                        wait for this owner, the last to ask last, each
--                        { sending, client, alive until })
-- <domain>queue:KEY      sorted set: owner -> place; places rise in the order of arrival
-- <domain>wake:CLIENT    sharded channel; a message is "<owner> <token>"
--
-- An owner may have its keys when each is free or held in a compatible mode, and no conflicting
-- waiter that can be reached stands before it in any of their queues.
local waiting = KEYS[1]
local domain = string.sub(waiting, 1, -8)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local keys = {}
for i = 3, #KEYS do keys[i - 2] = KEYS[i] end

local function queueOf(key) return domain .. 'queue:' .. key end
local function ticketOf(who) return domain .. 'ticket:' .. who end

local function leave(who, wanted)
  redis.call('ZREM', waiting, who)
  redis.call('DEL', ticketOf(who))
  for i = 1, #wanted do redis.call('ZREM', queueOf(wanted[i]), who) end
end

local function wantedBy(who)
  local packed = redis.call('HGET', ticketOf(who), 'keys')
  return packed and cmsgpack.unpack(packed) or {}
end

-- The waiter's ticket with those of its calls that asked again in time, or false when none did;
-- then it leaves every queue.
local tickets = {}
local function ticket(who)
  local known = tickets[who]
  if known ~= nil then return known end
  local fields = redis.call('HMGET', ticketOf(who), 'mode', 'lease', 'calls')
  local calls = {}
  for _, call in ipairs(fields[3] and cmsgpack.unpack(fields[3]) or {}) do
    if call[3] >= now then calls[#calls + 1] = call end
  end
  if #calls == 0 then leave(who, wantedBy(who)) end
  tickets[who] = #calls > 0 and { mode = fields[1], lease = fields[2], calls = calls }
  return tickets[who]
end

-- Ends the waiting of one call of the owner. The place is kept for its other calls.
local function quit(who, wanted, sending)
  local its = ticket(who)
  if not its then return end
  local rest = {}
  for i = 1, #its.calls do
    if its.calls[i][1] ~= sending then rest[#rest + 1] = its.calls[i] end
  end
  its.calls = rest
  if #rest == 0 then return leave(who, wanted) end
  redis.call('HSET', ticketOf(who), 'calls', cmsgpack.pack(rest))
end

-- Whether the waiter's process listens. One that was killed does not, long before it counts as
-- dead.
local listening = {}
local function reachable(client)
  if listening[client] == nil then
    local count = redis.call('PUBSUB', 'SHARDNUMSUB', domain .. 'wake:' .. client)
    listening[client] = count[2] > 0
  end
  return listening[client]
end

-- The call to tell of a grant: of those that listen, the last to ask. Else nil.
local function listener(its)
  for i = #its.calls, 1, -1 do
    if reachable(its.calls[i][2]) then return its.calls[i] end
  end
end

-- 'mine' when the owner holds the key in this mode already, 'free' when its holders let the owner
-- in, else false, the ms until the last of them ends, and where the key is no lock, what it is.
-- Every lock expires; what does not is left as it is.
local function stateFor(key, who, mode)
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then return 'free' end
  local left = redis.call('PTTL', key)
  if left < 0 or (kind ~= 'string' and kind ~= 'zset') then
    return false, 1, 'a ' .. kind .. (left < 0 and ' without expiry' or '')
  end
  if kind == 'string' then
    if mode == 'x' and string.sub(redis.call('GET', key), 1, #who + 1) == who .. ' ' then
      return 'mine'
    end
  else
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if redis.call('EXISTS', key) == 0 then return 'free' end
    if mode == 's' then return redis.call('ZSCORE', key, who) and 'mine' or 'free' end
  end
  return false, math.max(left, 1)
end

-- Whether somebody who conflicts stands before the owner in the key's queue.
local function behind(key, who, mode)
  local queue = queueOf(key)
  local rank = 0
  while true do
    local others = redis.call('ZRANGE', queue, rank, rank + 7)
    if #others == 0 then return false end
    for i = 1, #others do
      if others[i] == who then return false end
      local other = ticket(others[i])
      if not other then
        redis.call('ZREM', queue, others[i])
      elseif (mode == 'x' or other.mode == 'x') and listener(other) then
        return true
      else
        rank = rank + 1
      end
    end
  end
end

-- Whether the owner may have all of the keys now, 'mine' where it has them already; if not, also
-- the ms until the lease in its way ends, 0 when only other waiters are, and what is wrong with a
-- key that is no lock.
local function open(who, mode, wanted)
  local contested = {}
  for i = 1, #wanted do
    local state, left, foreign = stateFor(wanted[i], who, mode)
    if foreign then return false, left, wanted[i] .. ' is no lock but ' .. foreign end
    if not state then return false, left end
    if state == 'free' then contested[#contested + 1] = wanted[i] end
  end
  if #contested == 0 then return 'mine' end
  if redis.call('EXISTS', waiting) == 0 then return true end
  for i = 1, #contested do
    if behind(contested[i], who, mode) then return false, 0 end
  end
  return true
end

local function grant(who, mode, ms, wanted, sending)
  local token = mint()
  local value = who .. ' ' .. string.format('%.0f %.0f', token, now)
  if sending ~= '' then value = value .. ' ' .. sending end
  for i = 1, #wanted do
    local key = wanted[i]
    if mode == 'x' then
      redis.call('SET', key, value, 'PX', ms)
    else
      redis.call('ZADD', key, now + ms, who)
      if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
    end
  end
  return token
end

-- Grants what became free to those next in line, and wakes them. Each waiter is looked at once. One
-- whose owner holds its keys already, by another call, finds that when it asks again.
local function sweep(freed)
  local seen = {}
  for i = 1, #freed do
    local queue = queueOf(freed[i])
    local rank = 0
    while true do
      local who = redis.call('ZRANGE', queue, rank, rank)[1]
      if not who then break end
      local next = ticket(who)
      if not next then
        redis.call('ZREM', queue, who)
      elseif not listener(next) then
        rank = rank + 1
      else
        local wanted = not seen[who] and wantedBy(who)
        seen[who] = true
        if wanted and open(who, next.mode, wanted) == true then
          local call = listener(next)
          local token = grant(who, next.mode, next.lease, wanted, call[1])
          quit(who, wanted, call[1])
          redis.call('SPUBLISH', domain .. 'wake:' .. call[2],
            who .. ' ' .. string.format('%.0f', token))
        end
        -- Nobody passes an exclusive waiter.
        if next.mode == 'x' then break end
        if redis.call('ZRANK', queue, who) then rank = rank + 1 end
      end
    end
  end
end
