-- janus.plugin.gen: a Janus plugin for tests that makes events to order. Runs inside Debian's Lua plugin.
--
-- A message's body says what to do; every field but "do" is an integer with a default:
--   {"do":"burst","n":N,"size":S}            N events at once: {"i":0..N-1,"pad":"x" * S}; answer {"ok":1}
--   {"do":"tick","ms":M,"k":K,"n":N,"size":S} K events every M ms until N were sent; answer {"ok":1}
--   {"do":"say","json":OBJECT}               one event without transaction whose data is OBJECT; answer {"ok":1}
--   {"do":"late","ms":M}                     ack now, the event with the transaction after M ms: {"i":0,"pad":""}
--   {"do":"many","ms":M,"n":N}               ack now, then N events with that transaction, one every M ms: {"i":0..N-1}
--   {"do":"mute"}                            ack now, no event ever
--   {"do":"hold","tag":T}                    ack now; the event with the transaction, {"tag":T}, waits for a release
--   {"do":"release"}                         all held events of all handles, the last first; answer {"released":N}
--   {"do":"big","size":S}                    a synchronous answer {"pad":"x" * S}
--   {"do":"err"}                             a plugin failure: Janus answers error 462 "boom"
--   {"do":"end"}                             the plugin ends the handle: an unasked "detached"
--   anything else                            answered with {"echo":BODY}
-- What Janus gives us: session ids as floats, timer callbacks with one string argument, the body as JSON text.

local jobs = {}
local held = {}
local serial = 0

local function integer(text, key, default)
  return tonumber(text:match('"' .. key .. '":%s*(%d+)')) or default
end

local function push(id, transaction, json)
  pushEvent(id, transaction, json, nil)
end

local function padded(i, size)
  return string.format('{"i":%d,"pad":"%s"}', i, ("x"):rep(size))
end

local function start(job)
  serial = serial + 1
  local key = tostring(serial)
  jobs[key] = job
  return key
end

function init(config) end
function destroy() end
function resumeScheduler() end
function createSession(id) end
function querySession(id) return "{}" end
function setupMedia(id) end
function hangupMedia(id) end
function getPackage() return "janus.plugin.gen" end

function destroySession(id)
  for key, job in pairs(jobs) do
    if job.id == id then jobs[key] = nil end
  end
  for i = #held, 1, -1 do
    if held[i].id == id then table.remove(held, i) end
  end
end

function onTick(key)
  local job = jobs[key]
  if not job then return end
  for _ = 1, job.k do
    if job.i >= job.n then
      jobs[key] = nil
      return
    end
    push(job.id, job.transaction, padded(job.i, job.size))
    job.i = job.i + 1
  end
  timeCallback("onTick", key, job.ms)
end

function onEnd(key)
  local job = jobs[key]
  jobs[key] = nil
  if job then endSession(job.id) end
end

function handleMessage(id, transaction, body, jsep)
  local verb = body:match('"do":%s*"(%a+)"')
  local ms, n, size = integer(body, "ms", 1), integer(body, "n", 1), integer(body, "size", 0)
  if verb == "burst" then
    for i = 0, n - 1 do push(id, nil, padded(i, size)) end
    return 0, '{"ok":1}'
  elseif verb == "tick" then
    local job = { id = id, ms = ms, k = integer(body, "k", 1), n = n, size = size, i = 0 }
    timeCallback("onTick", start(job), 0)
    return 0, '{"ok":1}'
  elseif verb == "say" then
    push(id, nil, body:match('"json":%s*(%b{})') or "{}")
    return 0, '{"ok":1}'
  elseif verb == "late" or verb == "many" then
    local job = { id = id, transaction = transaction, ms = ms, k = 1, n = n, size = 0, i = 0 }
    timeCallback("onTick", start(job), ms)
    return 1, nil
  elseif verb == "mute" then
    return 1, nil
  elseif verb == "hold" then
    table.insert(held, { id = id, transaction = transaction, tag = integer(body, "tag", 0) })
    return 1, nil
  elseif verb == "release" then
    local count = #held
    for _ = 1, count do
      local waiting = table.remove(held)
      push(waiting.id, waiting.transaction, string.format('{"tag":%d}', waiting.tag))
    end
    return 0, string.format('{"released":%d}', count)
  elseif verb == "big" then
    return 0, string.format('{"pad":"%s"}', ("x"):rep(size))
  elseif verb == "err" then
    return -1, "boom"
  elseif verb == "end" then
    timeCallback("onEnd", start({ id = id }), 0)
    return 0, '{"ok":1}'
  end
  return 0, '{"echo":' .. body .. '}'
end
