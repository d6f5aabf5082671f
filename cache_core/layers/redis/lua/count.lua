-- Adds to a number that is there, and leaves its expiry as it is; returns false where there is none.
--
-- KEYS  the number's key
-- ARGV  what to add
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
return redis.call('INCRBY', KEYS[1], ARGV[1])
