-- Lets alerts through and drops everything else: for a sensor whose other events somebody else keeps.
-- Takes: any EVE event
-- Emits: alerts, to default_analyzer
-- Example config:
-- default_analyzer = "context"
-- Example input:
-- {"event_type":"alert","alert":{"signature_id":1}}
-- {"event_type":"flow"}
-- Example output:
-- context {"event_type":"alert","alert":{"signature_id":1}}

function setup()
end

function loop(event)
  if event.event_type == "alert" then
    dragonfly.analyze_event(default_analyzer, event)
  end
end
