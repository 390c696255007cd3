-- conf.d/archive.lua: a further output while Dragonfly runs.
outputs = {
  { tag = "archive", uri = "archive:///data/%Y/{event_type}.json" },
}
