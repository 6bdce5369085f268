-- The end of release.lua where somebody waits.
if redis.call('EXISTS', ticketOf(owner)) == 1 then leave(owner, keys) end
sweep(keys)
return count
