-- Takes all keys for one owner, or none; may leave the owner waiting in the queues of the keys.
--
-- KEYS[1]    waiting: sorted set, each waiting owner by the server time in ms until it counts as
--            alive
-- KEYS[2]    fence: the last token given out, see mint.lua
-- KEYS[3..]  the lock keys, unique
-- ARGV[1]    owner, without spaces
-- ARGV[2]    lease in ms
-- ARGV[3]    mode: 'x' exclusive, 's' shared
-- ARGV[4]    client to wake when the keys are granted later; '' = do not wait in the queues
-- ARGV[5]    how long a waiter counts as alive without asking again, in ms
-- ARGV[6]    the caller's time in ms since 1970, for those who inspect the lock; then, where the
--            owner may claim again, a space and which of its sendings this is
--
-- A lock key is a string "<owner> <token> <since>[ <sending>]" while held exclusively, and a sorted
-- set of owners by the end of their lease (server time in ms) while shared. It expires with its
-- lease.
--
-- Returns  token (> 0)  all keys are held; the token is above every earlier one of these keys
--          -1 - n       nothing was taken; the lease in the way ends in n ms, or n = 0: others wait
--          error        FOREIGN, a key that is no lock and how one sees it; nothing was taken
local owner = ARGV[1]
local lease = ARGV[2]

-- The way without contention: no key exists and nobody waits for one. unpack() has room for 8,000
-- values.
local there = ARGV[3] == 'x' and redis.call('EXISTS', KEYS[1], unpack(KEYS, 3))
if there == 0 or (there == 1 and redis.call('EXISTS', KEYS[1]) == 1 and not queued()) then
  local token, text = mint()
  local value = owner .. ' ' .. text .. ' ' .. ARGV[6]
  local call = redis.call
  for i = 3, #KEYS do
    call('PSETEX', KEYS[i], lease, value)
  end
  return token
end
