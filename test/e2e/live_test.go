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

// TestSuricataLive lets Suricata capture on a veth pair, in a network namespace of the test's own, while a capture is
// replayed: what it writes to the followed file arrives in full; a live Suricata does not wait at its sockets, but what
// arrives there is whole and nothing else.
func TestSuricataLive(t *testing.T) {
	needRoot(t)
	for _, program := range []string{"suricata", "tcpreplay", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "%s is missing", program)
		}
	}
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
	os.Mkdir(r.path("suricata"), 0o777)
	ns := fmt.Sprintf("dfly%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			skip(t, "ip %v: %v: %s", args, err, text)
		}
	}
	ip("netns", "add", ns)
	defer exec.Command("ip", "netns", "del", ns).Run()
	ip("-n", ns, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ip("-n", ns, "link", "set", "v0", "up")
	ip("-n", ns, "link", "set", "v1", "up")
	p := r.start()
	suricata := exec.Command("ip", "netns", "exec", ns, "suricata", "-v", "-c", r.path("suricata.yaml"), "--af-packet=v1", "-l", r.path("suricata"), "-k", "none")
	log, err := os.Create(r.path("suricata.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	suricata.Stdout, suricata.Stderr = log, log
	if err := suricata.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- suricata.Wait() }()
	defer suricata.Process.Kill()
	replay := func() {
		pcap, _ := filepath.Abs("../data/pcap/own-proto.pcap")
		if text, err := exec.Command("ip", "netns", "exec", ns, "tcpreplay", "-q", "-i", "v0", "--mbps=20", pcap).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	defer func() {
		if t.Failed() {
			t.Log(r.read("suricata.log"))
		}
	}()
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
