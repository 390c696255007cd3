-- What Suricata's eve-redis writes, in each of its modes, and three ways to hand it on.
inputs = {
  { tag = "list", uri = "redis://redis.example:6379/suricata", script = "keep" },
  { tag = "rpush", uri = "redis://redis.example:6379/suricata-rpush", pop = "left", script = "keep" },
  { tag = "publish", uri = "redis://redis.example:6379/suricata-channel", type = "channel", script = "keep" },
  { tag = "xadd", uri = "redis://redis.example:6379/suricata-stream", type = "stream",
    group = "dragonfly", delete = true, script = "keep" },
}
outputs = {
  { tag = "work", uri = "rediss://redis.example:6380/work", tls_ca = "ca.pem", max_length = 1e6 },
  { tag = "watch", uri = "redis://redis.example:6379/watch:{event_type}", type = "channel" },
  { tag = "log", uri = "redis://redis.example:6379/log:{event_type}", type = "stream", max_length = 1e6 },
}
