-- The default pipeline of Dragonfly. It is a Lua program: change it, then run `dragonfly check`, then send SIGHUP.
--
--   eve.json ─▶ eve-filter ─┬─▶ context ─▶ domains ─┐
--               (split by   ├─▶ flows ─▶ beacons ───┼─▶ count ─▶ write ─┬─▶ alerts.json
--                type)      └───────────────────────┘                   └─▶ events.json
--
-- What the analyzers find on their own goes to notices.json, counts per minute go to summary.json, events that a script
-- failed on go to dead-letter.json. All are in the log directory (-l, else ROOT/log, else /var/log/dragonfly-mle).
--
-- In every text, ${NAME} is an environment variable and ${NAME:-value} one with a default.

-- INPUTS: where events come from, and the filter (in scripts/) that sees them first.
inputs = {
  {
    tag = "eve",
    -- tail:// follows the file over rotations and goes on after a restart where it was. Others: file:// (once),
    -- unix:// and unixgram:// (a socket that Suricata writes to), stdin://. The README has Suricata's side of it.
    uri = "${DRAGONFLY_EVE:-tail:///var/log/suricata/eve*.json}",
    script = "eve-filter.lua",
    default_analyzer = "count", -- for types that the filter's ROUTE does not name
  },
}

-- ANALYZERS: each is a script in analyzers/. It passes events on to default_analyzer; what it finds goes to default_output.
-- Each runs in a worker of its own. `workers = "auto"` is one per CPU; then `shard_by` says which events must meet
-- in the same worker, because each worker has its own memory.
analyzers = {
  {
    tag = "context", -- alerts learn what was seen of their flow: DNS name, TLS server name, HTTP host
    script = "alert-context.lua",
    default_analyzer = "domains",
    -- workers = "auto", shard_by = { "src_ip", "dest_ip" },
  },
  {
    tag = "domains", -- notice: a registered domain is reached for the first time
    script = "new-domain.lua",
    default_analyzer = "count",
    default_output = "notices",
  },
  {
    tag = "flows", -- notice: a flow is long, or uploads much
    script = "long-flow.lua",
    default_analyzer = "beacons",
    default_output = "notices",
  },
  {
    tag = "beacons", -- notice: the same client calls the same service at even intervals
    script = "beacon.lua",
    default_analyzer = "count",
    default_output = "notices",
  },
  {
    tag = "count", -- counts by type and top talkers, every minute
    script = "count-by-type.lua",
    default_analyzer = "write",
    default_output = "summary",
  },
  {
    tag = "write", -- adds the time of output; alerts to the output "alerts", the rest to default_output
    script = "write-to-log.lua",
    default_output = "events",
  },
}

-- OUTPUTS: relative paths are below the log directory. SIGUSR1 rotates files; rotate_size, rotate_every, keep and
-- compress do it without help. Others: stdout://, unix://, unixgram://, syslog://, null://.
outputs = {
  { tag = "alerts", uri = "file://alerts.json" },
  { tag = "events", uri = "file://events.json", rotate_size = "1GiB", keep = 8, compress = "gzip" },
  { tag = "notices", uri = "file://notices.json" },
  { tag = "summary", uri = "file://summary.json" },
}

-- A configuration may decide: with DRAGONFLY_REPORT=1 a report goes to the screen at the end, as `make run` shows it.
if os.getenv("DRAGONFLY_REPORT") then
  analyzers[5].default_analyzer = "report"
  analyzers[7] = { tag = "report", script = "report.lua", default_analyzer = "write" }
end

-- SETTINGS, with their defaults. The reference in the README lists all.
listen = "${DRAGONFLY_LISTEN:-127.0.0.1:7070}" -- /metrics, /healthz, /ledger, /www/
-- script_timeout = "1s"      -- of one call of loop(); then the event is dead-lettered
-- max_in_flight = 4096       -- records between reading and their last output; beyond that the reading waits
-- drain_timeout = "10s"      -- to finish what is queued at the end
-- stats_interval = "60s"     -- of dragonfly-mle-stats.log
-- dead_letter = "file://dead-letter.json"
