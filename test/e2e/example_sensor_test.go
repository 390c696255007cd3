package e2e

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The example of a sensor finds each attack, here in a capture, with the scripts and analyzers that are shipped.
func TestExampleSensor(t *testing.T) {
	w := mixed(scans)
	beacons(w)
	tunnel(w)
	dnsTunnel(w)
	text, err := os.ReadFile("../examples/sensor.lua")
	if err != nil {
		t.Fatal(err)
	}
	const live = "flow://eth0"
	if !strings.Contains(string(text), live) {
		t.Fatalf("no %q in the example", live)
	}
	r := newRoot(t, "-- scripts/config.lua --\n"+strings.ReplaceAll(string(text), live, "pcap://$ROOT/wire.pcap")+"listen = \"\"\n")
	for _, dir := range []string{"scripts", "scripts/lib", "analyzers"} {
		files, _ := filepath.Glob("../../" + dir + "/*.lua")
		for _, file := range files {
			if filepath.Base(file) == "config.lua" {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r.write(dir+"/"+filepath.Base(file), string(text))
		}
	}
	w.write(t, r.path("wire.pcap"))
	r.drained("dead-lettered 0 + in flight 0")
	found := map[string]int{}
	for line := range strings.Lines(r.read("log/findings.json")) {
		var e struct {
			Finding string
			Notice  struct{ Name string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		found[e.Finding+e.Notice.Name]++
	}
	got := slices.Sorted(maps.Keys(found))
	if want := []string{"beacon", "dns tunnel", "long flow", "port scan"}; !slices.Equal(got, want) || found["port scan"] != 2 {
		t.Errorf("got %v, want %q:\n%s", found, want, r.read("log/findings.json"))
	}
	if events := r.read("log/events.json"); !strings.Contains(events, `"event_type":"flow"`) || !strings.Contains(events, `"event_type":"dns"`) {
		t.Errorf("flows or questions are missing in events.json: %.2000s", events)
	}
}
