-- Rows of another program's database, followed, into tables by type and month.
inputs = {
  { tag = "rows", uri = "sqlite:///data/findings.db", query = "SELECT id, event_type, src_ip FROM findings WHERE severity < 3",
    cursor = "id", every = "100ms", script = "keep" },
}
outputs = {
  { tag = "tables", uri = "sqlite:///data/eve.db", table = "{event_type}_%Y%m", columns = { "id:int", "src_ip" },
    keep_age = "336h", keep_count = 1e6 },
}
