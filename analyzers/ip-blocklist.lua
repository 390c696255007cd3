-- Reports events with an address that is on a list. A list that changes is read again within EVERY seconds.
-- Takes: any event with src_ip or dest_ip; others pass
-- Emits: the event as it came, to default_analyzer; a finding, to default_output, once per list, pair of addresses and QUIET
-- Example config:
-- default_analyzer = "next"
-- default_output = "findings"
-- Example input:
-- {"event_type":"flow","flow_id":1,"src_ip":"10.0.0.1","dest_ip":"192.0.2.200"}
-- {"event_type":"flow","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.200"}
-- {"event_type":"flow","flow_id":3,"src_ip":"2001:db8:bad::5","dest_ip":"10.0.0.1"}
-- {"event_type":"flow","flow_id":4,"src_ip":"10.0.0.1","dest_ip":"8.8.8.8"}
-- {"event_type":"stats"}
-- Example output:
-- findings {"event_type":"finding","finding":"listed address","list":"example","address":"192.0.2.200",\
--   "network":"192.0.2.200/29","note":"example botnet","direction":"dest","flow_id":1,\
--   "src_ip":"10.0.0.1","dest_ip":"192.0.2.200"}
-- next {"event_type":"flow","flow_id":1,"src_ip":"10.0.0.1","dest_ip":"192.0.2.200"}
-- next {"event_type":"flow","flow_id":2,"src_ip":"10.0.0.1","dest_ip":"192.0.2.200"}
-- findings {"event_type":"finding","finding":"listed address","list":"example",\
--   "address":"2001:db8:bad::5","network":"2001:db8:bad::/48","note":"example scanners",\
--   "direction":"src","flow_id":3,"src_ip":"2001:db8:bad::5","dest_ip":"10.0.0.1"}
-- next {"event_type":"flow","flow_id":3,"src_ip":"2001:db8:bad::5","dest_ip":"10.0.0.1"}
-- next {"event_type":"flow","flow_id":4,"src_ip":"10.0.0.1","dest_ip":"8.8.8.8"}
-- next {"event_type":"stats"}

-- Lists: files below ROOT with one address, prefix or range a line; what stands behind it is the note of the finding.
-- The file that ships has only addresses for documentation in it.
local LISTS = {
  {name = "example", file = "analyzers/ip-blocklist.txt"},
}
local EVERY = 10 -- seconds between looks at the files
local QUIET = 3600 -- seconds of event time in which a pair is not reported again
local PAIRS = 50000 -- that are remembered

local told = sketch.lru(PAIRS, QUIET)
local next_look = 0 -- os.time()

-- refresh reads a list if it has changed; one that cannot be read stays as it was.
local function refresh(list)
  local set, message = net.load_cidr(list.file)
  if message and message ~= list.message then
    dragonfly.log_event({analyzer = "ip-blocklist", list = list.name, message = message})
  end
  list.message = message
  if set then list.set = set end
end

local function look(now)
  next_look = now + EVERY
  for _, list in ipairs(LISTS) do refresh(list) end
end

local function report(event, list, address, direction)
  local key = list.name .. " " .. tostring(event.src_ip) .. " " .. tostring(event.dest_ip)
  if told:get(key, event.timestamp) then return end
  told:put(key, true, event.timestamp)
  local note, network = list.set:lookup(address)
  if note == true then note = nil end
  dragonfly.output_event(default_output, {event_type = "finding", finding = "listed address", timestamp = event.timestamp, list = list.name,
    address = address, network = network, note = note, direction = direction, flow_id = event.flow_id, src_ip = event.src_ip, dest_ip = event.dest_ip})
end

function setup()
  look(os.time())
  for _, list in ipairs(LISTS) do
    if not list.set then error("list " .. list.name .. ": " .. list.message .. "; put the file there or take the list out of LISTS") end
  end
end

function loop(event)
  local src, dest = event.src_ip, event.dest_ip
  if src or dest then
    local now = os.time()
    if now >= next_look then look(now) end
    for _, list in ipairs(LISTS) do
      if list.set:contains(dest) then
        report(event, list, dest, "dest")
      elseif list.set:contains(src) then
        report(event, list, src, "src")
      end
    end
  end
  dragonfly.analyze_event(default_analyzer, event)
end
