-- The default pipeline of Dragonfly. It is a Lua program: change it, run `dragonfly check`, send SIGHUP.
--
--   eve.json -> eve-filter -> summary -> context -> domains -> dga -> flows -> write -> events.json
--                                |          |          |        |       |
--                          summary.json alerts.json    findings.json
--
-- Each script passes events on to its default_analyzer and writes what it finds to its default_output.
-- Events that a script failed on go to dead-letter.json. All files are in the log directory: -l, else
-- ROOT/log, else /var/log/dragonfly-mle.
--
-- In every text ${NAME} is an environment variable, and ${NAME:-value} one with a default.

-- INPUTS: where events come from, and the filter (in scripts/) that sees them first.
inputs = {
  {
    tag = "eve",
    -- tail:// follows the file over rotations and goes on after a restart where it was. Others: file://
    -- (once), unix:// and unixgram:// (sockets that Suricata writes to), stdin://. The README has
    -- Suricata's side of each.
    uri = "${DRAGONFLY_EVE:-tail:///var/log/suricata/eve*.json}",
    script = "eve-filter.lua",
    default_analyzer = "summary",
  },
}

-- ANALYZERS: scripts in analyzers/, each with a worker of its own. `workers = "auto"` makes it one per
-- CPU; then shard_by says which events must meet in the same worker, as each worker has its own memory.
analyzers = {
  {
    tag = "summary", -- counts by type and signature: every minute to summary.json, at the end to the screen
    script = "summary.lua",
    default_analyzer = "context",
    default_output = "summary",
  },
  {
    tag = "context", -- alerts learn what was seen of their flow and addresses: DNS name, SNI, HTTP host
    script = "alert-context.lua",
    default_analyzer = "domains",
    default_output = "alerts",
    -- workers = "auto", shard_by = { "src_ip", "dest_ip" },
  },
  {
    tag = "domains", -- finding: a registered domain is seen for the first time
    script = "new-domain.lua",
    default_analyzer = "dga",
    default_output = "findings",
  },
  {
    tag = "dga", -- finding: a name that looks as if a machine had made it (malware does)
    script = "dga.lua",
    default_analyzer = "flows",
    default_output = "findings",
  },
  {
    tag = "flows", -- finding: a flow lasted long or sent much out
    script = "long-flow.lua",
    default_analyzer = "write",
    default_output = "findings",
  },
  {
    tag = "write", -- adds the time of output
    script = "write-to-log.lua",
    default_output = "events",
  },
}

-- OUTPUTS: relative paths are below the log directory. SIGUSR1 rotates the files; rotate_size,
-- rotate_every, keep and compress do it without help. Others: stdout://, unix://, unixgram://,
-- syslog://, null://.
outputs = {
  { tag = "alerts", uri = "file://alerts.json" },
  { tag = "events", uri = "file://events.json" },
  { tag = "findings", uri = "file://findings.json" },
  { tag = "summary", uri = "file://summary.json" },
}

-- A configuration may decide, as this one for `make run`: DRAGONFLY_REPORT=1 prints the alerts with their
-- context at the end.
if os.getenv("DRAGONFLY_REPORT") then
  analyzers[5].default_analyzer = "report"
  analyzers[7] = { tag = "report", script = "report.lua", default_analyzer = "write" }
end

-- SETTINGS, with their defaults. The reference in the README lists all of them.
listen = "${DRAGONFLY_LISTEN:-127.0.0.1:7070}" -- /metrics, /healthz, /ledger, /www/
-- script_timeout = "1s"   -- of one call of loop(); then the event goes to the dead letter
-- max_in_flight = 2048    -- records between their reading and their last output; then the reading waits
-- drain_timeout = "10s"   -- to finish what is queued at the end
-- stats_interval = "60s"  -- of dragonfly-mle-stats.log
-- dead_letter = "file://dead-letter.json"
-- landlock = "auto"       -- the process takes from itself what this file does not name; -v lists the rest
-- redis = "embedded"      -- what scripts keep in Redis; a server: "127.0.0.1:6379", "/run/redis.sock", "rediss://..."
-- store_max_memory = "256MiB", store_save_interval = "10s", store_listen = "/run/dragonfly/store.sock" -- of the embedded one
