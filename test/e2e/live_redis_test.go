package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSuricataLiveWritesToRedis lets Suricata capture on a veth pair and write to lists of a real redis-server, which stands still
// for some seconds (OUTAGE) in mid-run, and is later killed and started again. Dragonfly reads them live, and copies one to a stream,
// which it reads as well. While the server stands still Suricata waits; what it could not write while there was no server it drops itself,
// so the events around the kill need not be there, and all others must.
func TestSuricataLiveWritesToRedis(t *testing.T) {
	if _, err := exec.LookPath("suricata"); err != nil {
		skip(t, "suricata is missing")
	}
	length := outageLength(t)
	w := newWire(t)
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	types := "types: [alert, http, dns, tls, ssh, smtp, ftp, fileinfo, flow]"
	r := newRoot(t, strings.ReplaceAll(`
-- scripts/config.lua --
inputs = {
  {tag = "list", uri = "redis://SERVER", key = "lpushed", script = "list", claim_after = 1},
  {tag = "right", uri = "redis://SERVER", key = "rpushed", pop = "left", script = "right", claim_after = 1},
  {tag = "stream", uri = "redis://SERVER", key = "stream", type = "stream", delete = true, script = "stream", claim_after = 1},
}
outputs = {
  {tag = "list", uri = "file://list.json"}, {tag = "right", uri = "file://right.json"}, {tag = "stream", uri = "file://stream.json"},
  {tag = "copy", uri = "redis://SERVER", key = "stream", type = "stream"},
}
listen = ""
-- scripts/list.lua --
function loop(e) dragonfly.output_event("list", e) dragonfly.output_event("copy", e) end
-- scripts/right.lua --
function loop(e) dragonfly.output_event("right", e) end
-- scripts/stream.lua --
function loop(e) dragonfly.output_event("stream", e) end
-- suricata.yaml --
%YAML 1.1
---
vars: {address-groups: {HOME_NET: "[10.77.0.0/24]", EXTERNAL_NET: "any"}}
sensor-name: sensor
default-log-dir: $ROOT/suricata
logging: {default-log-level: notice, outputs: [{console: {enabled: yes}}]}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, TYPES}
  - eve-log: {enabled: yes, filetype: redis, redis: {server: SERVER, mode: list, key: lpushed}, TYPES}
  - eve-log: {enabled: yes, filetype: redis, redis: {server: SERVER, mode: rpush, key: rpushed}, TYPES}
app-layer: {protocols: {http: {enabled: yes}, dns: {tcp: {enabled: yes}, udp: {enabled: yes}}, tls: {enabled: yes}, ssh: {enabled: yes}, ftp: {enabled: yes}, smtp: {enabled: yes}}}
af-packet:
  - interface: v1
    threads: 1
    tpacket-v3: no
    cluster-id: 98
    cluster-type: cluster_flow
`, "TYPES", types))
	for _, name := range []string{"scripts/config.lua", "suricata.yaml"} {
		r.write(name, strings.ReplaceAll(r.read(name), "SERVER", s.socket()))
	}
	p := r.start()
	suricata, ended := w.suricata(r)
	replay := func() { w.replay("v0", ours("own-proto"), "--mbps=20") }
	ways := []string{"list", "right", "stream"}
	more := func(what string) { // replays until events of now have come each way
		t.Helper()
		var before []int
		for _, way := range ways {
			before = append(before, r.lines("log/"+way+".json"))
		}
		p.until(what, func() bool {
			select {
			case err := <-ended:
				t.Fatalf("suricata: %v: %s", err, r.read("suricata.log"))
			default:
			}
			replay()
			time.Sleep(300 * time.Millisecond) // it writes what it has seen
			for i, way := range ways {
				if r.lines("log/"+way+".json") <= before[i]+20 {
					return false
				}
			}
			return true
		})
	}
	more("events from the live Suricata")

	s.Cmd.Process.Signal(syscall.SIGSTOP)
	stillSince := time.Now()
	replay() // Suricata waits in the midst of it
	p.until("word of the server that stands still", func() bool { return strings.Contains(p.text(), "cannot read from redis") })
	time.Sleep(length - time.Since(stillSince)) // the outage
	s.Cmd.Process.Signal(syscall.SIGCONT)
	more("events after the server stood still")
	p.until("the good news", func() bool { return strings.Contains(p.text(), "redis answers again") })

	for range 3 {
		replay()
	}
	before := ""
	p.until("all that Suricata wrote", func() bool { // each way
		before = r.read("suricata/eve.json")
		time.Sleep(200 * time.Millisecond)
		return notThere(r, before, ways) == 0
	})
	killed := time.Now()
	s.kill()
	again := strings.Count(p.text(), "redis answers again")
	replay()
	time.Sleep(length - time.Since(killed)) // the outage
	s.start()
	more("events after the server was killed")
	p.until("the good news", func() bool { return strings.Count(p.text(), "redis answers again") > again })
	back := len(r.read("suricata/eve.json"))
	for range 3 {
		replay()
	}

	suricata.Process.Signal(syscall.SIGTERM) // it logs the flows that are still open
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("suricata does not end")
	}
	all := r.read("suricata/eve.json")
	after := all[back:] // since both lists get events again
	p.until("all that Suricata wrote after the kill", func() bool {
		time.Sleep(200 * time.Millisecond)
		return notThere(r, after, ways) == 0
	})
	want := sorted(all)
	out := p.stop()
	for _, way := range ways {
		got := sorted(r.read("log/" + way + ".json"))
		for _, event := range got {
			if _, ok := slices.BinarySearch(want, event); !ok {
				t.Errorf("%s: an event that Suricata did not write: %.300s", way, event)
				break
			}
		}
		distinct := len(slices.Compact(slices.Clone(got)))
		t.Logf("%s: %d events of Suricata, %d before and %d after the kill: %d arrived, %d different", way, len(want), strings.Count(before, "\n"), strings.Count(after, "\n"), len(got), distinct)
	}
	if !strings.Contains(out, "dead-lettered 0") || strings.Contains(out, "does not balance") {
		t.Errorf("ledger: %s", out)
	}
	if keys := s.cli("KEYS", "*"); keys != "" && keys != "stream" { // a stream stays when it is empty
		t.Errorf("left behind: %s", keys)
	}
	if n := s.cli("XLEN", "stream"); n != "0" {
		t.Errorf("%s entries are left in the stream", n)
	}
}

// notThere returns how many of the events of text have not come, in all ways.
func notThere(r *root, text string, ways []string) (n int) {
	want := sorted(text)
	for _, way := range ways {
		got := sorted(r.read("log/" + way + ".json"))
		for _, event := range want {
			if _, ok := slices.BinarySearch(got, event); !ok {
				n++
			}
		}
	}
	return n
}
