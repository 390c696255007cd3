-- Lets alerts pass that are at least as grave as SEVERITY, and nothing else.
-- Takes: every EVE event.
-- Emits: alerts with alert.severity up to SEVERITY (1 is the gravest) to default_analyzer, unchanged.
--
-- Example config:
-- default_analyzer = "context"
-- Example input:
-- {"event_type":"alert","alert":{"signature_id":1,"severity":1}}
-- {"event_type":"flow","flow":{"age":3}}
-- {"event_type":"alert","alert":{"signature_id":2,"severity":4}}
-- Example output:
-- context {"event_type":"alert","alert":{"signature_id":1,"severity":1}}

local SEVERITY = 3

function setup()
end

function loop(event)
  if event.event_type ~= "alert" then
    return
  end
  local severity = event.alert.severity
  if severity and severity > SEVERITY then
    return
  end
  dragonfly.analyze_event(default_analyzer, event)
end
