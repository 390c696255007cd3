package e2e

import (
	"encoding/base32"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func host(net string, i int) string { return fmt.Sprintf("%s.%d.%d", net, i/200, i%200+1) }

// usual adds half an hour of what no analyzer may report: users behind NAT whose servers do not always answer, a resolver with
// dead name servers, a large download, a backup inside, a client that tries a closed port again and again.
func usual(w *traffic) {
	r := rand.New(rand.NewPCG(1, 1))
	now := 0.0
	for i := range 300 {
		now += 11 * r.ExpFloat64()
		client := end(fmt.Sprintf("10.0.0.1:%d", 20000+i))
		if i%5 == 4 {
			w.ignored(at(now), client, end(host("198.51", i)+":443"))
		} else {
			w.talk(at(now), client, end(host("203.0", r.IntN(40))+":443"), 300+r.IntN(2000), 1000+r.IntN(20000))
		}
		resolver, server := end(fmt.Sprintf("10.0.0.53:%d", 30000+i)), end(host("192.5", i%120)+":53")
		name := []string{"www", "mail", "cdn", "api", "img"}[i%5] + []string{".example.org", ".example.net", ".example.edu"}[i%3]
		if i%4 == 3 {
			w.ask(at(now), resolver, server, name, typeA, nil)
		} else {
			w.ask(at(now), resolver, server, name, typeA, []byte{203, 0, 113, byte(i)})
		}
		if i%6 == 0 {
			w.refused(at(now), end(fmt.Sprintf("10.0.0.3:%d", 40000+i)), end("10.0.0.80:8080"))
		}
	}
	w.talk(at(100), end("10.0.0.4:50000"), end("203.0.113.10:443"), 2000, 3_000_000)
	w.talk(at(200), end("10.0.0.4:50001"), end("10.0.0.90:445"), 3_000_000, 2000)
	c := w.open(at(10), end("10.0.0.5:50002"), end("203.0.113.11:22"))
	for i := range 60 {
		c.at = at(20 + 25*float64(i))
		c.carry(i%2, 100)
	}
}

func scans(w *traffic) {
	for i := range 100 {
		w.refused(at(300+float64(i)/10), end(fmt.Sprintf("10.0.0.66:%d", 45000+i)), end(fmt.Sprintf("10.0.0.80:%d", 1+i)))
		if i < 60 {
			w.ignored(at(400+float64(i)/5), end(fmt.Sprintf("198.18.0.9:%d", 45000+i)), end(host("203.1", i)+":22"))
		}
	}
}

func beacons(w *traffic) {
	r := rand.New(rand.NewPCG(2, 2))
	now := 7.0
	for i := range 30 {
		w.talk(at(now), end(fmt.Sprintf("10.0.0.7:%d", 51000+i)), end("203.0.113.77:443"), 512, 300)
		now += 60 * (1 - 0.3*r.Float64())
	}
}

func tunnel(w *traffic) {
	c := w.open(at(5), end("10.0.0.8:52000"), end("203.0.113.88:443"))
	for now := 60.0; now <= 4000; now += 60 {
		c.at = at(now)
		c.carry(0, 100)
		c.carry(1, 100)
	}
}

func uploads(w *traffic) {
	for i := range 4 {
		w.talk(at(500+float64(100*i)), end(fmt.Sprintf("10.0.0.9:%d", 53000+i)), end(fmt.Sprintf("203.0.113.%d:443", 90+i/3)), 600_000, 3000)
	}
}

func dnsTunnel(w *traffic) {
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 120 {
		secret := make([]byte, 30)
		for j := range secret {
			secret[j] = byte(r.Uint32())
		}
		name := strings.ToLower(base32.StdEncoding.EncodeToString(secret)) + ".t.example.com"
		w.ask(at(600+float64(i)/2), end(fmt.Sprintf("10.0.0.10:%d", 54000+i)), end("10.0.0.53:53"), name, typeTXT, append([]byte{20}, "abcdefghijklmnopqrst"...))
	}
}

// run meters a capture through pcap://, a filter, one of the shipped analyzers and a file, and returns the findings. options
// are those of the input; replace are pairs: a text of the
// analyzer, and what stands there instead.
func (w *traffic) run(t *testing.T, analyzer, options string, replace ...string) (r *root, list []map[string]any) {
	t.Helper()
	r = newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "wire", uri = "pcap://$ROOT/wire.pcap", script = "pass", default_analyzer = "judge", `+options+`} }
analyzers = { {tag = "judge", script = "judge", default_analyzer = "write", default_output = "findings"}, {tag = "write", script = "write", default_output = "events"} }
outputs = { {tag = "findings", uri = "file://findings.json"}, {tag = "events", uri = "file://events.json"} }
listen = ""
-- scripts/pass.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/write.lua --
function loop(e) dragonfly.output_event(default_output, e) end
function finish() dragonfly.output_event("events", {event_type = "capture", stats = dragonfly.capture.stats("wire")}) end
`)
	source, err := os.ReadFile("../../analyzers/" + analyzer + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(source), replace[i]) {
			t.Fatalf("%s has no %q", analyzer, replace[i])
		}
	}
	r.write("analyzers/judge.lua", strings.NewReplacer(replace...).Replace(string(source)))
	libs, _ := filepath.Glob("../../scripts/lib/*.lua")
	for _, lib := range libs {
		text, err := os.ReadFile(lib)
		if err != nil {
			t.Fatal(err)
		}
		r.write("scripts/lib/"+filepath.Base(lib), string(text))
	}
	w.write(t, r.path("wire.pcap"))
	r.drained("wire: read ")
	for line := range strings.Lines(r.read("log/findings.json")) {
		var finding map[string]any
		if err := json.Unmarshal([]byte(line), &finding); err != nil {
			t.Fatal(err)
		}
		list = append(list, finding)
	}
	return r, list
}

// wantFindings compares the named fields of each finding, printed, in any order.
func wantFindings(t *testing.T, got []map[string]any, fields string, want ...string) {
	t.Helper()
	left := map[string]int{}
	for _, w := range want {
		left[w]++
	}
	for _, finding := range got {
		var values []string
		for name := range strings.FieldsSeq(fields) {
			values = append(values, fmt.Sprint(finding[name]))
		}
		if text := strings.Join(values, " "); left[text] > 0 {
			left[text]--
		} else {
			t.Errorf("not expected: %s: %v", text, finding)
		}
	}
	for text, n := range left {
		if n > 0 {
			t.Errorf("missing: %s", text)
		}
	}
}

// mixed is the usual traffic with an attack in it; nil is none.
func mixed(attack func(*traffic)) *traffic {
	w := &traffic{}
	usual(w)
	if attack != nil {
		attack(w)
	}
	return w
}

func TestPortScansInACapture(t *testing.T) {
	_, got := mixed(scans).run(t, "port-scan", "")
	wantFindings(t, got, "finding kind src_ip dest_ip dest_port ports hosts proto",
		"port scan vertical 10.0.0.66 10.0.0.80 <nil> 30 <nil> TCP", "port scan horizontal 198.18.0.9 <nil> 22 <nil> 40 TCP")
	_, got = mixed(nil).run(t, "port-scan", "")
	wantFindings(t, got, "finding")
}

func TestBeaconsInACapture(t *testing.T) {
	_, got := mixed(beacons).run(t, "beacon", "")
	wantFindings(t, got, "event_type src_ip dest_ip dest_port", "notice 10.0.0.7 203.0.113.77 443")
	if len(got) == 1 {
		if n := got[0]["notice"].(map[string]any); n["interval"].(float64) < 42 || n["interval"].(float64) > 60 || n["flows"].(float64) > 21 {
			t.Errorf("got %v", n)
		}
	}
}

func TestLongConnectionsInACapture(t *testing.T) {
	r, got := mixed(tunnel).run(t, "long-flow", "")
	wantFindings(t, got, "finding src_ip dest_ip flows", "long flow 10.0.0.8 203.0.113.88 <nil>")
	whole := strings.Count(r.read("log/events.json"), `"event_type":"flow"`)
	r, got = mixed(tunnel).run(t, "long-flow", `active_timeout = "10m"`)
	wantFindings(t, got, "finding src_ip dest_ip flows", "long flow 10.0.0.8 203.0.113.88 6")
	if pieces := strings.Count(r.read("log/events.json"), `"event_type":"flow"`); pieces < whole+6 {
		t.Errorf("%d flows with an active timeout, %d without", pieces, whole)
	}
}

func TestUploadsInACapture(t *testing.T) {
	_, got := mixed(uploads).run(t, "exfil", "", "UNKNOWN = 1e9", "UNKNOWN = 2e6", "FLOOR = 100e6", "FLOOR = 1e6")
	wantFindings(t, got, "finding host dest_ip bound limit", "exfiltration 10.0.0.9 203.0.113.91 unknown 2e+06")
	if len(got) == 1 {
		to := got[0]["destinations"].([]any)
		first := to[0].(map[string]any)
		if len(to) != 2 || first["dest_ip"] != "203.0.113.90" || first["bytes"].(float64) < 1.8e6 || got[0]["bytes_out"].(float64) < 2.4e6 {
			t.Errorf("got %v", got[0])
		}
	}
}

func TestDNSTunnelsInACapture(t *testing.T) {
	for version := 2; version <= 3; version++ {
		r, got := mixed(dnsTunnel).run(t, "dns-tunnel", fmt.Sprintf("dns_version = %d", version))
		if !strings.Contains(r.read("log/events.json"), `"event_type":"dns"`) {
			skip(t, "this build meters no dns events")
		}
		wantFindings(t, got, "finding src_ip dest_ip domain names bytes_down types", "dns tunnel 10.0.0.10 10.0.0.53 example.com 50 980 map[TXT:50]")
	}
}

// TestCapturesHaveStatisticsAndFeatures reads what a script gets from dragonfly.capture, and the vectors of flows.
func TestCapturesHaveStatisticsAndFeatures(t *testing.T) {
	for kind, name := range map[string]string{"nfstream": "src2dst_packets", "cic": "total_fwd_packet"} {
		w := mixed(nil)
		frames := len(w.frames)
		r, _ := w.run(t, "capture-health", fmt.Sprintf("features = %q, events = %q", kind, "flow"))
		flows, told := 0, false
		for line := range strings.Lines(r.read("log/events.json")) {
			var ev struct {
				Type     string `json:"event_type"`
				Flow     struct{ Pkts_toserver float64 }
				Features map[string]any
				Stats    struct {
					Frames float64
					Flows  struct{ Total float64 }
					Events struct{ Read float64 }
				}
			}
			if err := json.Unmarshal([]byte(line), &ev); err != nil {
				t.Fatal(err)
			}
			switch ev.Type {
			case "flow":
				flows++
				if ev.Features[name] != ev.Flow.Pkts_toserver {
					t.Errorf("%s is %v, want %v", name, ev.Features[name], ev.Flow.Pkts_toserver)
				}
			case "capture":
				told = true
				if s := ev.Stats; s.Frames != float64(frames) || s.Flows.Total != float64(flows) || s.Events.Read != float64(flows) {
					t.Errorf("got %+v, want %d frames, %d flows", s, frames, flows)
				}
			}
		}
		if !told || flows < 500 {
			t.Errorf("%d flows, statistics %v", flows, told)
		}
	}
}
