-- The end of release.lua where somebody waits.
if redis.call('EXISTS', ticketOf(owner)) == 1 then
  if sending == '' then leave(owner, keys) else quit(owner, keys, sending) end
end
sweep(keys)
return count
