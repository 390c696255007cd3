-- Events that clients POST, over HTTP and HTTPS, to webhooks in each mode, Slack and OpenSearch.
inputs = {
  { tag = "post", uri = "http://127.0.0.1:8080/events", paths = { "/also" }, auth = "header",
    auth_header = "X-Sensor-Key", auth_token = "${SENSOR_KEY}", script = "keep" },
  { tag = "secure", uri = "https://0.0.0.0:8443/events", tls_cert = "cert.pem", tls_key = "key.pem",
    auth = "basic", auth_token = "sensor:${SENSOR_KEY}", script = "keep" },
}
outputs = {
  { tag = "each", uri = "https://hooks.example/each", tls_ca = "ca.pem", auth = "bearer", auth_token = "${HOOK_TOKEN}" },
  { tag = "bulk", uri = "http://hooks.example/bulk", mode = "bulk", bulk_size = 500, gzip = true },
  { tag = "calm", uri = "http://hooks.example/calm", mode = "periodic", interval = 0.5, rate = 100 },
  { tag = "slack", uri = "http://hooks.example", path = "file:secrets/slack", format = "slack", mode = "bulk",
    template = "{alert.signature}: {src_ip} -> {dest_ip} id={id};" },
  { tag = "search", uri = "opensearch://search.example:9200", index = "eve-{event_type}-%Y.%m.%d",
    auth = "basic", auth_token = "dragonfly:${HOOK_TOKEN}" },
}
