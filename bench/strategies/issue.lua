-- One claim, from end to end. KEYS: the coupon's set of users, the queue.
-- ARGV: the user, the total, the queue's entry. The rank; -2: already issued; -3: sold out.
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then
    return -2
end
local issued = redis.call('SCARD', KEYS[1])
if issued >= tonumber(ARGV[2]) then
    return -3
end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('RPUSH', KEYS[2], ARGV[3])
return issued + 1
