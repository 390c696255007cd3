-- Writes events to the default output with the time at which Dragonfly did so.
-- Takes: any event
-- Emits: the event with dragonfly_output_timestamp, to default_output
-- Example config:
-- default_output = "events"
-- Example input:
-- {"event_type":"flow","flow_id":1598023201615874,"x":1.0}
-- Example output:
-- events {"event_type":"flow","flow_id":1598023201615874,"x":1.0,"dragonfly_output_timestamp":"*"}

local last, stamp = 0, "" -- formatting the time once a second is enough

function setup()
end

function loop(event)
  local now = os.time()
  if now ~= last then
    last, stamp = now, os.date("!%Y-%m-%dT%TZ", now)
  end
  event.dragonfly_output_timestamp = stamp
  dragonfly.output_event(default_output, event)
end
