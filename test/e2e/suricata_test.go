package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// suricataConfig writes three times the same events: to a file, a stream socket and a datagram socket.
const suricataConfig = `%YAML 1.1
---
vars: {address-groups: {HOME_NET: "[10.77.0.0/24]", EXTERNAL_NET: "any"}}
default-log-dir: $ROOT/suricata
logging: {default-log-level: error, outputs: [{console: {enabled: yes}}]}
outputs:
  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, community-id: true, types: [alert, http, dns, tls, ssh, smtp, ftp, mqtt, sip, snmp, tftp, fileinfo, flow]}
  - eve-log: {enabled: yes, filetype: unix_stream, filename: $ROOT/stream.sock, community-id: true, types: [alert, http, dns, tls, ssh, smtp, ftp, mqtt, sip, snmp, tftp, fileinfo, flow]}
  - eve-log: {enabled: yes, filetype: unix_dgram, filename: $ROOT/dgram.sock, community-id: true, types: [alert, http, dns, tls, ssh, smtp, ftp, mqtt, sip, snmp, tftp, fileinfo, flow]}
rule-files: [$ROOT/test.rules]
app-layer: {protocols: {http: {enabled: yes}, dns: {tcp: {enabled: yes}, udp: {enabled: yes}}, tls: {enabled: yes}, ssh: {enabled: yes}, ftp: {enabled: yes}, smtp: {enabled: yes}, mqtt: {enabled: yes}, sip: {enabled: yes}, snmp: {enabled: yes}, tftp: {enabled: yes}}}
`

// TestSuricataWritesToUs lets a real Suricata write to a stream socket, a datagram socket and a file that is followed:
// each way every event arrives as it was written.
func TestSuricataWritesToUs(t *testing.T) {
	if _, err := exec.LookPath("suricata"); err != nil {
		skip(t, "suricata is missing")
	}
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  {tag = "stream", uri = "unix://$ROOT/stream.sock", script = "stream", default_analyzer = "a", mode = "0666"},
  {tag = "dgram", uri = "ipc://$ROOT/dgram.sock", script = "dgram", default_analyzer = "a", mode = "0666"},
  {tag = "tail", uri = "tail://$ROOT/suricata/eve*.json", script = "tail", default_analyzer = "a"},
}
analyzers = { {tag = "a", script = "a"} }
outputs = { {tag = "stream", uri = "file://stream.json"}, {tag = "dgram", uri = "file://dgram.json"}, {tag = "tail", uri = "file://tail.json"} }
listen = ""
-- scripts/stream.lua --
function loop(e) dragonfly.output_event("stream", e) end
-- scripts/dgram.lua --
function loop(e) dragonfly.output_event("dgram", e) end
-- scripts/tail.lua --
function loop(e) dragonfly.output_event("tail", e) end
-- analyzers/a.lua --
function loop(e) end
-- suricata.yaml --
`+suricataConfig+`
-- test.rules --
alert icmp any any -> any any (msg:"ping"; itype:8; sid:1;)
alert dns any any -> any any (msg:"a query"; dns.query; content:"."; sid:2;)
`)
	if err := os.Mkdir(r.path("suricata"), 0o777); err != nil {
		t.Fatal(err)
	}
	p := r.start()
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
	if len(want) < 100 {
		t.Fatalf("suricata wrote only %d events", len(want))
	}
	for _, way := range []string{"tail", "stream", "dgram"} {
		p.until(way+": all events", func() bool { return r.lines("log/"+way+".json") >= len(want) })
	}
	out := p.stop()
	for _, way := range []string{"tail", "stream", "dgram"} {
		if got := sorted(r.read("log/" + way + ".json")); !slices.Equal(got, want) {
			t.Errorf("%s: got %d events, want %d, or other bytes", way, len(got), len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Errorf("first difference:\ngot  %.700s\nwant %.700s", got[i], want[i])
					break
				}
			}
		}
		if line := fmt.Sprintf("%s: read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", way, len(want), len(want)); !strings.Contains(out, line) {
			t.Errorf("no ledger %q in\n%s", line, out)
		}
	}
}

// sorted returns the events of text in a form that can be compared. Each time Suricata writes an event it orders the keys
// of dns.grouped by chance, and gives flow events the time of the writing.
func sorted(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		var v any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		if d.Decode(&v) == nil {
			if event, ok := v.(map[string]any); ok && event["event_type"] == "flow" {
				delete(event, "timestamp")
			}
			b, _ := json.Marshal(v)
			lines[i] = string(b)
		}
	}
	slices.Sort(lines)
	return lines
}
