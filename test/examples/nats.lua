-- From JetStream and from plain NATS to both.
inputs = {
  { tag = "stored", uri = "nats://nats.example:4222/eve.>", durable = "dragonfly", token = "${NATS_TOKEN}",
    script = "keep" },
  { tag = "live", uri = "nats://nats.example:4222/live.*", jetstream = false, queue = "dragonfly",
    token = "${NATS_TOKEN}", script = "keep" },
}
outputs = {
  { tag = "alerts", uri = "nats://nats.example:4222/alerts.{alert.severity}", token = "${NATS_TOKEN}" },
  { tag = "seen", uri = "nats://nats.example:4222/seen.{event_type}", jetstream = false, token = "${NATS_TOKEN}" },
}
