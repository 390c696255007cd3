-- Takes every EVE event in, counts what it is not sure about, and sends all of them to the default analyzer.
-- Takes: any EVE event
-- Emits: the event as it came, to default_analyzer; statistics of Suricata itself (event_type stats) to the stats log
-- Example config:
-- default_analyzer = "summary"
-- Example input:
-- {"event_type":"flow","flow_id":1598023201615874,"ratio":1.0,"list":[]}
-- {"event_type":"stats","stats":{"uptime":60,"capture":{"kernel_packets":10,"kernel_drops":1}}}
-- {"no":"type"}
-- Example output:
-- summary {"event_type":"flow","flow_id":1598023201615874,"ratio":1.0,"list":[]}
-- stats {"suricata_uptime":60,"kernel_packets":10,"kernel_drops":1}
-- log "an event without event_type"

function setup()
end

function loop(event)
  local kind = event.event_type
  if kind == "stats" then
    local stats = event.stats
    local capture = stats and stats.capture
    dragonfly.stats_event({suricata_uptime = stats and stats.uptime, kernel_packets = capture and capture.kernel_packets,
      kernel_drops = capture and capture.kernel_drops})
  elseif kind == nil then
    dragonfly.log_event("an event without event_type")
  else
    dragonfly.analyze_event(default_analyzer, event)
  end
end
