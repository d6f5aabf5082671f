-- Gives a version to every key that has none; returns the versions that stand then (rule V2).
--
-- KEYS  version keys
-- ARGV  channel that is told what was created ('': none), then for each key the life of a new
--       version in ms (0: no expiry) and a nonce
local time = redis.call('TIME')
local birth = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local channel = ARGV[1]

local versions, created = {}, {}
for i, key in ipairs(KEYS) do
  local ttl, nonce = ARGV[2 * i], ARGV[2 * i + 1]
  -- pcall: a key of another type holds no version either, and SET replaces it.
  local version = redis.pcall('GET', key)
  if type(version) ~= 'string' then
    version = 'n' .. birth .. '.' .. nonce
    if tonumber(ttl) > 0 then
      redis.call('SET', key, version, 'PX', ttl)
    else
      redis.call('SET', key, version)
    end
    created[#created + 1] = string.sub(key, #channel + 2) -- behind <ns>:v:, which is longer by one
  end
  versions[i] = version
end
if channel ~= '' and #created > 0 then
  redis.call('PUBLISH', channel, table.concat(created, '\n'))
end
return versions
