-- Every event in an archive, a database and Parquet files.
inputs = {
  { tag = "eve", uri = "tail:///var/log/suricata/eve.json<", script = "keep", default_analyzer = "" },
}
outputs = {
  { tag = "archive", uri = "archive:///data/%Y/%m/%d/{event_type}.json.gz",
    keep_age = "8760h", keep_size = "100GiB" },
  { tag = "sqlite", uri = "sqlite:///data/eve.db?table=events", unique = true,
    columns = { "timestamp", "event_type", "src_ip", "dest_ip", "alert.signature_id:int" }, keep_age = "336h" },
  { tag = "parquet", uri = "parquet:///data/parquet", every = "5m" },
}
