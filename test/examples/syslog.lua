-- A relay: everything that talks syslog, to a SIEM as CEF, to a collector over TLS and UDP, and to the local syslog.
inputs = {
  { tag = "udp", uri = "syslog+udp://0.0.0.0:514", zone = "UTC", script = "keep" },
  { tag = "tcp", uri = "syslog+tcp://0.0.0.0:514", script = "keep" },
  { tag = "tls", uri = "syslog+tls://0.0.0.0:6514", tls_cert = "cert.pem", tls_key = "key.pem",
    tls_client_ca = "ca.pem", script = "keep" },
  { tag = "stream", uri = "syslog+unix:///run/dragonfly/syslog.stream", script = "keep" },
  { tag = "socket", uri = "syslog+unixgram:///run/dragonfly/syslog.dgram", script = "keep" },
}
outputs = {
  { tag = "siem", uri = "syslog+tcp://siem.example:514", message = "cef" },
  { tag = "safe", uri = "syslog+tls://collector.example:6514", tls_ca = "ca.pem",
    tls_cert = "cert.pem", tls_key = "key.pem", facility = "auto" },
  { tag = "old", uri = "syslog+udp://collector.example:514", format = "rfc3164" },
  { tag = "here", uri = "syslog://LOG_LOCAL5", socket = "/dev/log" },
}
