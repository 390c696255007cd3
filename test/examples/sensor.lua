-- A sensor without Suricata: the packets of an interface become flows and events of their applications; five analyzers look for
-- attacks in them, one for losses. Run it with -r on this repository's scripts and analyzers, as root, with -p USER.
inputs = {
  { tag = "net", uri = "flow://eth0", meters = 2, script = "eve-filter", default_analyzer = "port-scan" },
}
analyzers = {
  { tag = "port-scan", script = "port-scan", default_analyzer = "beacon", default_output = "findings" },
  { tag = "beacon", script = "beacon", default_analyzer = "dns-tunnel", default_output = "findings" },
  { tag = "dns-tunnel", script = "dns-tunnel", default_analyzer = "exfil", default_output = "findings" },
  { tag = "exfil", script = "exfil", default_analyzer = "long-flow", default_output = "findings" },
  { tag = "long-flow", script = "long-flow", default_analyzer = "capture-health", default_output = "findings" },
  { tag = "capture-health", script = "capture-health", default_analyzer = "write", default_output = "findings" },
  { tag = "write", script = "write-to-log", default_output = "events" },
}
outputs = {
  { tag = "findings", uri = "file://findings.json" },
  { tag = "events", uri = "file://events.json", rotate_every = "24h", keep = 14, compress = "gzip" },
}
