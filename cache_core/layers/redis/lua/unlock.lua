-- Gives a lock back if the caller still holds it; returns how many were given back (rule S3).
--
-- KEYS  the lock's key
-- ARGV  the caller's token
-- pcall: a key of another type is nobody's lock.
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
