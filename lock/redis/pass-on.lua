-- The end of release.lua where somebody waits.
local asked = redis.call('HGET', ticketOf(owner), 'sending')
if asked and (sending == '' or sending == asked) then leave(owner, keys) end
sweep(keys)
return count
