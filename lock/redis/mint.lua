-- Makes the next fencing token: the server's clock in microseconds, or one more than the last token
-- where that is not below it. So tokens rise while the fence is kept, whatever the clock does, and
-- while the clock runs, whatever becomes of the fence: lost, or behind after a failover.
--
-- KEYS[2]  fence: the last token given out; anything that is no token counts as lost
--
-- Returns the token, a safe integer, and as text: Redis and Lua are slow at writing numbers, and a
-- tenth of an acquire went into it.
local function mint()
  local time = redis.call('TIME')
  local token = time[1] * 1000000 + time[2]
  local text = time[1] .. string.sub('00000' .. time[2], -6)
  local last = redis.pcall('SET', KEYS[2], text, 'GET')
  if last and type(last) ~= 'string' then
    redis.call('SET', KEYS[2], text)
  else
    last = tonumber(last)
    if last and last >= token and last < 9007199254740991 then
      token = math.floor(last) + 1
      text = string.format('%.0f', token)
      redis.call('SET', KEYS[2], text)
    end
  end
  return token, text
end

