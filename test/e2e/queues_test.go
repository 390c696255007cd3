package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// suricataRedis writes the same events to a file, and to Redis in three ways. Without sensor-name only those to Redis have a host.
const suricataRedis = `%YAML 1.1
---
vars: {address-groups: {HOME_NET: "[10.77.0.0/24]", EXTERNAL_NET: "any"}}
sensor-name: sensor
default-log-dir: $ROOT/suricata
logging: {default-log-level: error, outputs: [{console: {enabled: yes}}]}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, types: [alert, http, dns, tls, ssh, smtp, ftp, fileinfo, flow]}
  - eve-log: {enabled: yes, filetype: redis, redis: {server: SERVER, mode: list, key: lpushed}, types: [alert, http, dns, tls, ssh, smtp, ftp, fileinfo, flow]}
  - eve-log: {enabled: yes, filetype: redis, redis: {server: SERVER, mode: rpush, key: rpushed}, types: [alert, http, dns, tls, ssh, smtp, ftp, fileinfo, flow]}
  - eve-log: {enabled: yes, filetype: redis, redis: {server: SERVER, mode: channel, key: published}, types: [alert, http, dns, tls, ssh, smtp, ftp, fileinfo, flow]}
app-layer: {protocols: {http: {enabled: yes}, dns: {tcp: {enabled: yes}, udp: {enabled: yes}}, tls: {enabled: yes}, ssh: {enabled: yes}, ftp: {enabled: yes}, smtp: {enabled: yes}}}
`

// TestSuricataWritesToRedis lets a real Suricata write to a real redis-server: each way every event arrives as it was written.
func TestSuricataWritesToRedis(t *testing.T) {
	if _, err := exec.LookPath("suricata"); err != nil {
		skip(t, "suricata is missing")
	}
	s := newRedis(t)
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  {tag = "lpushed", uri = "redis://SERVER", key = "lpushed", script = "lpushed", default_analyzer = "a"},
  {tag = "rpushed", uri = "redis://SERVER", key = "rpushed", pop = "left", script = "rpushed", default_analyzer = "a"},
  {tag = "published", uri = "redis://SERVER", key = "published", type = "channel", script = "published", default_analyzer = "a"},
}
analyzers = { {tag = "a", script = "a"} }
outputs = { {tag = "lpushed", uri = "file://lpushed.json"}, {tag = "rpushed", uri = "file://rpushed.json"}, {tag = "published", uri = "file://published.json"} }
listen = ""
-- scripts/lpushed.lua --
function loop(e) dragonfly.output_event("lpushed", e) end
-- scripts/rpushed.lua --
function loop(e) dragonfly.output_event("rpushed", e) end
-- scripts/published.lua --
function loop(e) dragonfly.output_event("published", e) end
-- analyzers/a.lua --
function loop(e) end
-- suricata.yaml --
`+suricataRedis)
	for _, name := range []string{"scripts/config.lua", "suricata.yaml"} {
		r.write(name, strings.ReplaceAll(r.read(name), "SERVER", s.socket()))
	}
	if err := os.Mkdir(r.path("suricata"), 0o777); err != nil {
		t.Fatal(err)
	}
	p := r.start()
	p.until("the subscription", func() bool { return strings.HasSuffix(s.cli("PUBSUB", "NUMSUB", "published"), "1") })
	pcaps, _ := filepath.Glob("../data/pcap/*.pcap")
	if len(pcaps) == 0 {
		t.Fatal("no captures")
	}
	for _, pcap := range pcaps {
		path, _ := filepath.Abs(pcap)
		cmd := exec.Command("suricata", "-c", r.path("suricata.yaml"), "-r", path, "-l", r.path("suricata"), "-k", "none")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	want := sorted(r.read("suricata/eve.json"))
	if len(want) < 50 {
		t.Fatalf("suricata wrote only %d events", len(want))
	}
	ways := []string{"lpushed", "rpushed", "published"}
	for _, way := range ways {
		p.until(way+": all events", func() bool { return r.lines("log/"+way+".json") >= len(want) })
	}
	out := p.stop()
	for _, way := range ways {
		if got := sorted(r.read("log/" + way + ".json")); !slices.Equal(got, want) {
			t.Errorf("%s: got %d events, want %d, or other bytes", way, len(got), len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Errorf("first difference:\ngot  %.900s\nwant %.900s", got[i], want[i])
					break
				}
			}
		}
		if line := fmt.Sprintf("%s: read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", way, len(want), len(want)); !strings.Contains(out, line) {
			t.Errorf("no ledger %q in\n%s", line, out)
		}
	}
	if keys := s.cli("KEYS", "*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
}

// TestRedisBetweenTwoProcesses: one process writes to a Redis, as README.md's example does, and another reads it; the server is
// killed for some seconds in the middle, and then the second process, without a chance to say good bye. Nothing is lost.
func TestRedisBetweenTwoProcesses(t *testing.T) {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	scripts := `
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/pass.lua --
function loop(e) dragonfly.output_event(default_output, e) end
-- scripts/config.lua --
listen = ""
analyzers = { {tag = "pass", script = "pass", default_output = "out"} }
`
	sender := newRoot(t, scripts+`
inputs = { {tag = "in", uri = "tail://$ROOT/in.json<", script = "f", default_analyzer = "pass"} }
outputs = { {tag = "out", uri = "redis://`+s.socket()+`", key = "suricata", type = "list"} }
`)
	config := strings.ReplaceAll(example(t, "Redis"), `redis://redis.example:6379/suricata`, `redis://`+s.socket())
	if strings.Contains(config, "redis.example") {
		t.Fatalf("another server is in the example:\n%s", config)
	}
	config = strings.Replace(config, `type = "list"`, `type = "list", key = "suricata", claim_after = 1`, 1)
	t.Setenv("REDIS_PASSWORD", "")
	receiver := newRoot(t, scripts+config)
	const n = 20_000
	sender.write("in.json", "")
	a, b := sender.start(), receiver.start()
	sender.append("in.json", events(n/2))
	b.until("some events", func() bool { return receiver.lines("log/out.json") > n/10 })
	s.kill()
	b.until("a message", func() bool { return strings.Contains(b.text(), "cannot read from redis") })
	sender.append("in.json", events2(n/2, n))
	a.until("a message", func() bool { return strings.Contains(a.text(), "output does not work") })
	time.Sleep(3 * time.Second) // the outage
	s.start()
	b.until("more events", func() bool { return receiver.lines("log/out.json") > n*6/10 })
	b.signal(syscall.SIGKILL)
	err := <-b.ended
	b.ended <- err
	b = receiver.start()
	distinct := func() int {
		seen := map[string]bool{}
		for line := range strings.Lines(receiver.read("log/out.json")) {
			seen[line] = true
		}
		return len(seen)
	}
	b.until("all events", func() bool { return distinct() == n })
	b.until("the list of the killed process to be taken over", func() bool { return s.cli("SCARD", "{suricata}:dragonfly") == "1" })
	a.stop()
	b.stop()
	if keys := s.cli("KEYS", "*"); keys != "" {
		t.Errorf("left behind: %s", keys)
	}
	if got := receiver.lines("log/out.json"); got > 2*n {
		t.Errorf("%d lines for %d events", got, n)
	}
}

func events2(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"id":%d}`+"\n", i)
	}
	return b.String()
}
