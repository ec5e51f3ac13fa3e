#!lua name=coupon
-- The Redis side of the distributed protocol (docs/scaling.md): the function library `coupon` of
-- Redis 7.0 or later.
--
-- For: admitting claims (a filter: who has claimed already, the period, the quantity) and putting
-- the admitted ones in order, as entries 1, 2, 3 ... of a partition's stream. Not for: deciding
-- anything final. Ranks and successes are given by the ledger, after its commit; Redis may be lost
-- at any instant. Called by the issuer, the workers, a rebuild and the metrics, with FCALL.
--
-- Keys of a partition, all of one hash tag, so of one slot of a Cluster; the caller names them:
--   coupon:{pNN}:gate                  hash epoch, replid, n, settled_n; closed: none, or hash shut
--   coupon:{pNN}:meta:<id>             hash epoch, version, total (-1: unlimited), start_us,
--                                      end_us, paused, admitted, settled, clock_us, complete
--   coupon:{pNN}:holders:<id>:<epoch>  hash user -> "<claim id>:<n>:<idx>"
--   coupon:{pNN}:queue:<epoch>         stream, entries <n>-0 of coupon, time_us, claims
--
-- Every reply is an array of bulk strings, its first one says what it is (but coupon_version's).
-- "closed" is always {"closed", the gate's epoch or "0", "missing" | "epoch" | "replid"}.
-- Arguments that no caller should have sent get the error COUPON; what is refused by "closed", by
-- "not-loaded", by "apart" or by an error has changed nothing, but for the gate that contradicts
-- what it guards (see contradicted).
--
-- Commands inside a function are not rolled back. So arguments are judged first, then all is read,
-- then the write that can be refused is tried, and then come those that cannot. Redis itself
-- refuses a function with writes before it starts when memory is at its maximum, when the disk
-- failed (MISCONF), when replicas are missing (NOREPLICAS) and on a replica; therefore the flag
-- allow-oom is set for none that may add much. maxmemory-policy should be noeviction: an evicted
-- key costs an epoch or a look into the ledger, never a promise. What Redis cannot know before is
-- whether its user may give the commands in here: an ACL must allow them all, on all these keys:
-- del hdel hget hlen hmget hset info publish time unlink xadd xlen xrange xtrim.
--
-- Numbers are doubles, whole up to 2^53, which as microseconds is the year 2255. Nothing is
-- remembered between calls outside of the keys.

local VERSION = "3"

local CLAIMS_MAX = 2048      -- of a call; the issuer's CLAIM_BATCH_MAX
local SLICE = 1000           -- values unpacked at once are at most twice this; Lua ends near 8,000
local USER_ID_MAX = 128      -- ledger.h
local REQUEST_KEY_MAX = 128  -- ledger.h
local CLAIM_ID_SIZE = 32     -- hexadecimal
local INTEGER_MAX = 9007199254740991

-- Small numbers as text, that of 0 at 1: making them anew is a third of what a claim costs.
local DIGITS = {}
for number = 0, CLAIMS_MAX do
  DIGITS[number + 1] = number .. ""
end

-- ---- arguments ------------------------------------------------------------------------------

-- The number that is written in canonical decimal, 0 ... 2^53-1; nil for any other text.
local function whole(text)
  if #text > 16 or not (text == "0" or string.find(text, "^[1-9]%d*$")) then
    return nil
  end
  local number = tonumber(text)
  return number <= INTEGER_MAX and number or nil
end

-- The same from 1 on: epochs, versions, coupon ids, positions in the queue.
local function positive(text)
  local number = whole(text)
  return number ~= 0 and number or nil
end

-- Whether a text is an instant in microseconds: years 1 to 9999, as the ledger takes them. Beyond
-- 2^53 its double is rounded, but never to one below 2^53, so against a clock it is exact.
local function is_instant(text)
  return #text <= 19 and (text == "0" or string.find(text, "^-?[1-9]%d*$") ~= nil) and
    math.abs(tonumber(text)) < 1e18
end

local function is_flag(text)
  return text == "0" or text == "1"
end

-- Decimal, never with an exponent.
local function decimal(number)
  return string.format("%.0f", number)
end

local function refuse(sentence)
  return redis.error_reply("COUPON " .. sentence)
end

-- ---- the gate -------------------------------------------------------------------------------

-- Changes when this server was restarted or promoted, and when its first replica comes: whenever
-- what is in memory may be older than what was said. run_id stays the same at a promotion.
local function replid_now()
  local info = redis.call("INFO", "replication")
  local at = string.find(info, "master_replid:", 1, true) + 14
  return string.sub(info, at, at + 39)
end

-- The gate as {epoch, replid, n, settled_n}; its epoch is false when there is none.
local function read_gate(key)
  local gate = redis.call("HMGET", key, "epoch", "replid", "n", "settled_n")
  return { epoch = gate[1], replid = gate[2], n = tonumber(gate[3] or 0),
           settled_n = tonumber(gate[4] or 0) }
end

local function closed(gate, why)
  return { "closed", gate.epoch or "0", why }
end

-- nil when the gate is open for this epoch, else the reply that says why not.
local function closed_for(gate, epoch)
  if not gate.epoch then
    return closed(gate, "missing")
  elseif gate.epoch ~= epoch then
    return closed(gate, "epoch")
  elseif gate.replid ~= replid_now() then
    return closed(gate, "replid")
  end
  return nil
end

-- Takes away a gate that contradicts its queue or the ledger: Redis has lost writes that it should
-- not have lost. Going on would hand out positions a second time; a missing gate is rebuilt.
local function contradicted(key)
  redis.call("DEL", key)
  return closed({}, "missing")
end

-- ---- coupon_claim ---------------------------------------------------------------------------

-- Judges what coupon_claim was given. Returns nil, or what is wrong with it. Sizes only: which
-- characters they are was judged at the door, and nothing here or in the packing minds.
local function fault_of_claims(keys, args)
  local count = #args >= 3 and positive(args[3])
  if #keys ~= 4 or not count or count > CLAIMS_MAX or #args ~= 3 + 3 * count then
    return "coupon_claim takes 4 keys, epoch, coupon id, count (1 to 2048), 3 words a claim"
  elseif not positive(args[1]) or not positive(args[2]) then
    return "epoch and coupon id must be 1 to 2^53-1"
  end
  for at = 4, #args, 3 do
    local user_size = #args[at + 1]
    if #args[at] ~= CLAIM_ID_SIZE or user_size == 0 or user_size > USER_ID_MAX or
       #args[at + 2] > REQUEST_KEY_MAX then
      return "a claim id has 32 bytes, a user id 1 to 128, a request key 0 to 128"
    end
  end
  return nil
end

-- The coupon's terms and counts, or nil when it is not loaded for this epoch.
local function read_coupon(key, epoch)
  local meta = redis.call("HMGET", key, "epoch", "total", "start_us", "end_us", "paused",
                          "admitted", "settled", "clock_us", "complete")
  if meta[1] ~= epoch then
    return nil
  end
  return { total = tonumber(meta[2]), start_us = tonumber(meta[3]), start_text = meta[3],
           end_us = tonumber(meta[4]),
           paused = meta[5] == "1", admitted = tonumber(meta[6]), settled = tonumber(meta[7]),
           clock_us = tonumber(meta[8]), complete = meta[9] }
end

-- The one clock of a coupon: it never steps back behind an admission (I5).
local function now_us(coupon)
  local time = redis.call("TIME")
  return math.max(time[1] * 1000000 + time[2], coupon.clock_us)
end

-- What everybody is told who holds nothing while there are seats; nil: they are admitted. And how
-- many seats there are.
local function terms_now(coupon, now)
  local refusal = coupon.paused and "p" or now < coupon.start_us and "s:" .. coupon.start_text or
                  now >= coupon.end_us and "e" or nil
  return refusal, coupon.total < 0 and math.huge or coupon.total - coupon.admitted
end

-- What the users of a call hold, by their place in it, from 1: a value of holders, or false.
local function read_holders(key, args, count)
  local users = {}
  for i = 1, count do
    users[i] = args[3 * i + 2]
  end
  if count <= SLICE then
    return redis.call("HMGET", key, unpack(users))
  end
  local held = {}
  for first = 1, count, SLICE do
    local last = math.min(first + SLICE - 1, count)
    local values = redis.call("HMGET", key, unpack(users, first, last))
    for i = 1, #values do
      held[first + i - 1] = values[i]
    end
  end
  return held
end

-- What somebody is told who holds this: the same claim is the same admission, another a duplicate.
local function verdict_of_holder(value, claim_id)
  if string.sub(value, 1, CLAIM_ID_SIZE) == claim_id then
    return "a" .. string.sub(value, CLAIM_ID_SIZE + 1)
  end
  return "d:" .. value
end

-- Whether the hash knows everybody who holds one: it was begun with nobody left out, and has lost
-- nobody since. Each admission that counts has a user there, so fewer users than that means that the
-- key was evicted, and that refusals have to be looked up (I7).
local function completeness(coupon, key)
  if coupon.complete == "1" and redis.call("HLEN", key) < coupon.admitted then
    return "0"
  end
  return coupon.complete
end

-- Judges every claim of a call, in order. Puts the verdicts into `reply` behind what is there.
-- Returns how many are admitted, and these twice in their order: as fields and values of holders,
-- and packed for the queue. Changes nothing in Redis.
local function judge(coupon, now, n, held, args, count, reply)
  local refusal, seats = terms_now(coupon, now)
  local full = coupon.total >= 0 and coupon.settled >= coupon.total and "o" or "f"
  local fields, packed, here, admitted, place = {}, {}, {}, 0, ":" .. n .. ":"
  for i = 1, count do
    local claim_id, user = args[3 * i + 1], args[3 * i + 2]
    local value, verdict = held[i] or here[user], refusal
    if value then
      verdict = verdict_of_holder(value, claim_id)
    elseif not refusal and admitted >= seats then
      verdict = full
    elseif not refusal then
      local request_key, idx = args[3 * i + 3], DIGITS[admitted + 1]
      value, verdict = claim_id .. place .. idx, "a" .. place .. idx
      here[user] = value
      fields[2 * admitted + 1] = user
      fields[2 * admitted + 2] = value
      admitted = admitted + 1
      -- Sizes in front, so no character of a user or a key can be taken for the packing.
      packed[admitted] = "32:" .. claim_id .. DIGITS[#user + 1] .. ":" .. user ..
                         DIGITS[#request_key + 1] .. ":" .. request_key
    end
    reply[4 + i] = verdict
  end
  return admitted, fields, packed
end

-- Writes what a call admitted: `admitted` is the coupon's new count. Returns nil, or the reply of a
-- call that changed nothing.
local function admit(keys, epoch, id, n, now, admitted, fields, packed)
  local gate, meta, holders, queue = unpack(keys)
  -- First of all writes, since it is the one that can be refused: the keys of the others were read.
  local added = redis.pcall("XADD", queue, n .. "-0", "coupon", id, "time_us", now,
                            "claims", table.concat(packed))
  if type(added) == "table" and added.err then
    return string.find(added.err, "equal or smaller", 1, true) and contradicted(gate) or added
  end
  for first = 1, #fields, 2 * SLICE do
    redis.call("HSET", holders, unpack(fields, first, math.min(first + 2 * SLICE - 1, #fields)))
  end
  redis.call("HSET", gate, "n", n)
  redis.call("HSET", meta, "admitted", decimal(admitted), "clock_us", now)
  -- Whoever settles learns that there is work; a message that is lost costs a poll.
  redis.call("PUBLISH", "coupon:queued", (string.match(gate, "{p(%d%d)}") or "") .. " " .. epoch)
  return nil
end

-- coupon_claim: judges the claims of one coupon, in order, and queues the admitted ones.
--   KEYS  gate, meta, holders, queue
--   ARGV  epoch, coupon id, count (1 to 2,048), then for each claim: claim id (32 hexadecimal
--         characters, the asker's own), user id, request key (may be empty)
--   reply {"ok", settled_n, complete, now_us, a verdict a claim ...}, {"not-loaded"} or "closed"
-- Verdicts, tried in the order of I7:
--   a:<n>:<idx>             admitted; for the same claim id again, the same admission again
--   d:<claim id>:<n>:<idx>  another claim of this user was admitted, also earlier in this call
--   p, s:<start_us>, e      paused; not started (now < start_us); ended (now >= end_us)
--   o                       sold out: as many as there are have been settled in the ledger (I6)
--   f                       all seats are taken, not all settled: not sold out
-- All admitted by a call are one entry, n = the last one + 1, and idx counts from 0 in it; none
-- admitted: no entry. Keeps I1 and I2 as a filter, I4's order, I5 (clock_us), I6, I7.
local function claim(keys, args)
  local fault = fault_of_claims(keys, args)
  if fault then
    return refuse(fault)
  end
  local gate = read_gate(keys[1])
  local shut = closed_for(gate, args[1])
  if shut then
    return shut
  end
  local coupon = read_coupon(keys[2], args[1])
  if not coupon then
    return { "not-loaded" }
  end
  local now, n, count = now_us(coupon), decimal(gate.n + 1), tonumber(args[3])
  local now_text = decimal(now)
  local reply = { "ok", decimal(gate.settled_n), completeness(coupon, keys[3]), now_text }
  local held = read_holders(keys[3], args, count)
  local admitted, fields, packed = judge(coupon, now, n, held, args, count, reply)
  return admitted > 0 and
         admit(keys, args[1], args[2], n, now_text, coupon.admitted + admitted, fields, packed) or reply
end

-- ---- coupon_settled -------------------------------------------------------------------------

-- Reads what coupon_settled was told of one coupon, from args[at] on. Returns it and where the
-- next one begins, or nil.
local function read_report(args, at, meta, holders)
  local report = { meta = meta, holders = holders, users = {}, claims = {} }
  local count = args[at + 2] and whole(args[at + 2])
  report.issued, report.seats = whole(args[at] or ""), whole(args[at + 1] or "")
  if not report.issued or not report.seats or not count or #args < at + 2 + 2 * count then
    return nil
  end
  for i = 1, count do
    report.users[i] = args[at + 1 + 2 * i]
    report.claims[i] = args[at + 2 + 2 * i]
  end
  return report, at + 3 + 2 * count
end

-- Reads the arguments of coupon_settled: first n, last n, a report a coupon. nil: not of its form.
local function read_settled(keys, args)
  local count = #args >= 4 and positive(args[1]) and whole(args[4])
  local first, last = count and positive(args[2]), count and positive(args[3])
  if not first or not last or first > last or #keys ~= 2 + 2 * count then
    return nil
  end
  local reports, at = {}, 5
  for i = 1, count do
    reports[i], at = read_report(args, at, keys[1 + 2 * i], keys[2 + 2 * i])
    if not reports[i] then
      return nil
    end
  end
  return at == #args + 1 and reports or nil, first, last
end

-- Reads what a report changes: the users that hold what is to be forgotten, in slices, and the new
-- counts when the coupon is loaded. Changes nothing.
local function plan(report, epoch)
  report.leaving = {}
  for first = 1, #report.users, SLICE do
    local last = math.min(first + SLICE - 1, #report.users)
    local values = redis.call("HMGET", report.holders, unpack(report.users, first, last))
    local leaving = {}
    for i = 1, #values do
      if values[i] and
         string.sub(values[i], 1, CLAIM_ID_SIZE) == report.claims[first + i - 1] then
        leaving[#leaving + 1] = report.users[first + i - 1]
      end
    end
    report.leaving[#report.leaving + 1] = #leaving > 0 and leaving or nil
  end
  local coupon = redis.call("HMGET", report.meta, "epoch", "admitted", "settled")
  if coupon[1] == epoch then
    report.settled = math.max(coupon[3], report.issued)
    report.admitted = math.max(coupon[2] - report.seats, report.settled)
  end
end

local function carry_out(report)
  for _, users in ipairs(report.leaving) do
    redis.call("HDEL", report.holders, unpack(users))
  end
  if report.settled then
    redis.call("HSET", report.meta, "settled", decimal(report.settled),
               "admitted", decimal(report.admitted))
  end
end

-- coupon_settled: tells what a worker's COMMIT has settled, exactly once and in the order of n.
--   KEYS  gate, queue, then for each coupon: meta, holders
--   ARGV  epoch, first n, last n, number of coupons, then for each: issued (the ledger's
--         issued_quantity now), seats (how many admissions of first ... last were rejected), how
--         many to forget, and for each of these: user id, claim id
--   reply {"ok", settled_n}: done, or it was already; {"apart", settled_n}: first is not
--         settled_n + 1, nothing changed, ask the ledger anew; or "closed"
-- Seats of rejects are free again, the forgotten may claim again, entries up to last leave the
-- queue, and "<p> <epoch> <last>" is published on coupon:settled. settled never falls and admitted
-- is never below it, so "sold out" stays true (I6). A last beyond what was queued closes the gate.
local function settled(keys, args)
  local reports, first, last = read_settled(keys, args)
  local partition = keys[1] and string.match(keys[1], "{p(%d%d)}")
  if not reports or not partition then
    return refuse("coupon_settled takes gate, queue, 2 keys a coupon, and epoch, first, last, " ..
                  "coupons, for each: issued, seats, forgotten, 2 words for each of these")
  end
  local gate = read_gate(keys[1])
  local shut = closed_for(gate, args[1])
  if shut then
    return shut
  elseif last <= gate.settled_n then
    return { "ok", decimal(gate.settled_n) }
  elseif first ~= gate.settled_n + 1 then
    return { "apart", decimal(gate.settled_n) }
  elseif last > gate.n then
    return contradicted(keys[1])
  end
  for _, report in ipairs(reports) do
    plan(report, args[1])
  end
  -- First of all writes: the queue is the one key that was not read.
  redis.call("XTRIM", keys[2], "MINID", "=", decimal(last + 1) .. "-0")
  redis.call("HSET", keys[1], "settled_n", args[3])
  for _, report in ipairs(reports) do
    carry_out(report)
  end
  redis.call("PUBLISH", "coupon:settled", partition .. " " .. args[1] .. " " .. args[3])
  return { "ok", args[3] }
end

-- ---- coupons and gates come and go ----------------------------------------------------------

-- coupon_load: tells a coupon's terms and counts as the ledger has them.
--   KEYS  gate, meta
--   ARGV  epoch, version, total (-1: unlimited), start_us, end_us, paused (0 or 1), issued,
--         clock_us (the latest issue's time), complete (1: holders has everybody who holds one)
--   reply {"ok", version, total, start_us, end_us, paused, admitted, settled, clock_us, complete},
--         what is there now; or "closed"
-- The first load of an epoch sets it all, admitted and settled being issued. Later ones with a
-- higher version change the terms (version, total, start_us, end_us, paused) and nothing else; any
-- other changes nothing, so a late one never brings back old terms. For I1, I5 and I6.
local function load(keys, args)
  if #keys ~= 2 or #args ~= 9 or not positive(args[1]) or not positive(args[2]) or
     not (args[3] == "-1" or whole(args[3])) or not is_instant(args[4]) or
     not is_instant(args[5]) or not is_flag(args[6]) or not whole(args[7]) or
     not whole(args[8]) or not is_flag(args[9]) then
    return refuse("coupon_load takes 2 keys, epoch, version, total, start_us, end_us, paused, " ..
                  "issued, clock_us, complete")
  end
  local shut = closed_for(read_gate(keys[1]), args[1])
  if shut then
    return shut
  end
  local meta = keys[2]
  local present = redis.call("HMGET", meta, "epoch", "version")
  local loaded = present[1] == args[1]
  if present[1] and not loaded then
    -- Nobody asks for these again: holders of an epoch that is over. Of the same slot as the meta.
    redis.call("UNLINK", string.gsub(meta, ":meta:", ":holders:", 1) .. ":" .. present[1])
  end
  if not loaded or tonumber(present[2]) < tonumber(args[2]) then
    redis.call("HSET", meta, "epoch", args[1], "version", args[2], "total", args[3],
               "start_us", args[4], "end_us", args[5], "paused", args[6])
  end
  if not loaded then
    redis.call("HSET", meta, "admitted", args[7], "settled", args[7], "clock_us", args[8],
               "complete", args[9])
  end
  return { "ok", unpack(redis.call("HMGET", meta, "version", "total", "start_us", "end_us",
                                   "paused", "admitted", "settled", "clock_us", "complete")) }
end

-- coupon_close: shuts the gate of an epoch and of all before it; a later one stays.
--   KEYS gate; ARGV epoch; reply {"ok", the epoch of the gate that is there now, or "0"}
-- From then on nothing is admitted or settled here until coupon_open of a later epoch (the
-- rebuild's fence). What is left says up to which epoch it is shut: whoever began this one and is
-- late to open it would else admit what nobody settles, behind the last look before the next begins.
local function close(keys, args)
  local epoch = #keys == 1 and #args == 1 and positive(args[1])
  if not epoch then
    return refuse("coupon_close takes 1 key, epoch")
  end
  local gate = redis.call("HMGET", keys[1], "epoch", "shut")
  if gate[1] and tonumber(gate[1]) > epoch then
    return { "ok", gate[1] }
  end
  redis.call("DEL", keys[1])
  redis.call("HSET", keys[1], "shut", decimal(math.max(epoch, tonumber(gate[2] or 0))))
  return { "ok", "0" }
end

-- coupon_open: opens a gate for an epoch that the ledger has begun, with n = settled_n = 0.
--   KEYS gate; ARGV epoch; reply {"ok", the epoch that is open}, or "closed"
-- A gate that is open for this epoch or a later one stays as it is, so of two that rebuild the
-- second changes nothing. One whose replid is wrong is replaced by a later epoch only: what it has
-- counted in its own is lost. An epoch that was closed is never opened again.
local function open(keys, args)
  local epoch = #keys == 1 and #args == 1 and positive(args[1])
  if not epoch then
    return refuse("coupon_open takes 1 key, epoch")
  end
  local gate, replid = read_gate(keys[1]), replid_now()
  if gate.epoch and tonumber(gate.epoch) >= epoch then
    return gate.replid == replid and { "ok", gate.epoch } or closed(gate, "replid")
  elseif tonumber(redis.call("HGET", keys[1], "shut") or 0) >= epoch then
    return closed(gate, "missing")
  end
  redis.call("HSET", keys[1], "epoch", args[1], "replid", replid, "n", "0", "settled_n", "0")
  redis.call("HDEL", keys[1], "shut")
  return { "ok", args[1] }
end

-- ---- questions ------------------------------------------------------------------------------

-- coupon_status: how a partition stands; may be asked of a replica.
--   KEYS  gate, queue
--   reply {"ok", epoch ("0": no gate), n, settled_n, whether replid is this server's (0, 1),
--         entries in the queue, time_us of the oldest ("0": none)}
local function status(keys)
  if #keys ~= 2 then
    return refuse("coupon_status takes 2 keys")
  end
  local gate = read_gate(keys[1])
  local oldest = redis.call("XRANGE", keys[2], "-", "+", "COUNT", 1)[1]
  return { "ok", gate.epoch or "0", decimal(gate.n), decimal(gate.settled_n),
           gate.replid == replid_now() and "1" or "0", decimal(redis.call("XLEN", keys[2])),
           oldest and oldest[2][4] or "0" }
end

-- coupon_version: which version of this file is loaded. Reply {version}.
local function version()
  return { VERSION }
end

redis.register_function("coupon_claim", claim)
-- These two give memory back, so they must work when there is none: a full Redis would else never
-- be trimmed again.
redis.register_function { function_name = "coupon_settled", callback = settled,
                          flags = { "allow-oom" } }
redis.register_function { function_name = "coupon_close", callback = close,
                          flags = { "allow-oom" } }
redis.register_function("coupon_load", load)
redis.register_function("coupon_open", open)
redis.register_function { function_name = "coupon_status", callback = status,
                          flags = { "no-writes" } }
redis.register_function { function_name = "coupon_version", callback = version,
                          flags = { "no-writes" } }
