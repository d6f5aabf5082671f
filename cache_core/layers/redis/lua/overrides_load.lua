-- All overrides and their revision, as of one moment.
-- KEYS: revision, records. Returns the revision and the names and records by turns.
return {redis.call('GET', KEYS[1]) or '', redis.call('HGETALL', KEYS[2])}
