-- Gives a version to every key that has none; returns the versions that stand then (rule V2).
--
-- KEYS  version keys
-- ARGV  life of a new version in ms (0: no expiry), then one nonce per key
local time = redis.call('TIME')
local birth = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

local versions = {}
for i, key in ipairs(KEYS) do
  -- pcall: a key of another type holds no version either, and SET replaces it.
  local version = redis.pcall('GET', key)
  if type(version) ~= 'string' then
    version = 'n' .. birth .. '.' .. ARGV[1 + i]
    if tonumber(ARGV[1]) > 0 then
      redis.call('SET', key, version, 'PX', ARGV[1])
    else
      redis.call('SET', key, version)
    end
  end
  versions[i] = version
end
return versions
