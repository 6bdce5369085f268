-- Takes one key away from whoever holds it and hands it to whoever is next.
--
-- KEYS[1]  waiting
-- KEYS[2]  fence
-- KEYS[3]  the lock key
--
-- Returns 1 if somebody held it, else 0.
if redis.call('DEL', KEYS[3]) == 0 then return 0 end
