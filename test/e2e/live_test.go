package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSuricataLive lets Suricata capture on a veth pair, in a network namespace of the test's own, while a capture is
// replayed: what it writes to the followed file arrives in full; a live Suricata does not wait at its sockets, but what
// arrives there is whole and nothing else.
func TestSuricataLive(t *testing.T) {
	if _, err := exec.LookPath("suricata"); err != nil {
		skip(t, "suricata is missing")
	}
	w := newWire(t)
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  {tag = "stream", uri = "unix://$ROOT/stream.sock", script = "stream", mode = "0666"},
  {tag = "dgram", uri = "ipc://$ROOT/dgram.sock", script = "dgram", mode = "0666"},
  {tag = "tail", uri = "tail://$ROOT/suricata/eve*.json", script = "tail"},
}
outputs = { {tag = "stream", uri = "file://stream.json"}, {tag = "dgram", uri = "file://dgram.json"}, {tag = "tail", uri = "file://tail.json"} }
listen = ""
-- scripts/stream.lua --
function loop(e) dragonfly.output_event("stream", e) end
-- scripts/dgram.lua --
function loop(e) dragonfly.output_event("dgram", e) end
-- scripts/tail.lua --
function loop(e) dragonfly.output_event("tail", e) end
-- suricata.yaml --
`+suricataConfig+`
af-packet:
  - interface: v1
    threads: 1
    tpacket-v3: no
    cluster-id: 99
    cluster-type: cluster_flow
-- test.rules --
alert icmp any any -> any any (msg:"ping"; itype:8; sid:1;)
`)
	p := r.start()
	suricata, ended := w.suricata(r)
	replay := func() { w.replay("v0", ours("own-proto"), "--mbps=20") }
	p.until("suricata sees packets", func() bool { // it captures some time after its start
		select {
		case err := <-ended:
			t.Fatalf("suricata: %v: %s", err, r.read("suricata.log"))
		default:
		}
		replay()
		time.Sleep(300 * time.Millisecond)
		return r.lines("suricata/eve.json") > 20
	})
	for range 3 {
		replay()
	}
	suricata.Process.Signal(syscall.SIGTERM) // it logs the flows that are still open
	select {
	case <-ended:
	case <-time.After(60 * time.Second):
		t.Fatal("suricata does not end")
	}
	want := sorted(r.read("suricata/eve.json"))
	p.until("all events of the file", func() bool { return r.lines("log/tail.json") >= len(want) })
	out := p.stop()
	if got := sorted(r.read("log/tail.json")); !slices.Equal(got, want) {
		t.Errorf("tail: got %d events, want %d, or others", len(got), len(want))
	}
	for way, least := range map[string]int{"stream": 10, "dgram": 1} { // the kernel holds 10 datagrams, by default
		got := sorted(r.read("log/" + way + ".json"))
		if len(got) < least {
			t.Errorf("%s: got only %d of %d events\n%s", way, len(got), len(want), out)
		}
		for _, event := range got {
			if _, ok := slices.BinarySearch(want, event); !ok {
				t.Errorf("%s: an event that Suricata did not write: %.300s", way, event)
				break
			}
		}
		t.Logf("%s: %d of %d events", way, len(got), len(want))
	}
	if strings.Contains(out, "dead-lettered 0") == false {
		t.Errorf("ledger: %s", out)
	}
}
