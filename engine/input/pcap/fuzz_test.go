package pcap

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// keepSink keeps all events.
type keepSink struct{ events []string }

func (s *keepSink) Begin(int) error { return nil }
func (s *keepSink) Pause() error    { return nil }
func (s *keepSink) Event(event []byte) error {
	s.events = append(s.events, string(event))
	return nil
}

// FuzzPass: whatever a capture holds, metering ends, its events are JSON, and they are the same with one meter and with three.
func FuzzPass(f *testing.F) {
	names, _ := filepath.Glob(captures + "*.pcap")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range cut(b, 12)[:3] {
			f.Add(part)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var all [2]keepSink
		var errs [2]error
		for i, meters := range []int64{1, 3} {
			p, err := NewPass(engine.Values{"meters": meters, "features": "cic"})
			if err != nil {
				t.Fatal(err)
			}
			errs[i] = p.Run(t.Context(), []Source{{Path: "x", Reader: bytes.NewReader(b)}}, &all[i])
		}
		for _, e := range all[0].events {
			if err := lazyjson.Validate(e); err != nil {
				t.Fatalf("%v: %s", err, e)
			}
		}
		if (errs[0] == nil) != (errs[1] == nil) || errs[0] != nil && errs[0].Error() != errs[1].Error() {
			t.Fatalf("one meter: %v, three: %v", errs[0], errs[1])
		}
		if one, three := sorted(all[0].events), sorted(all[1].events); !slices.Equal(one, three) {
			t.Fatalf("one meter: %d events, three: %d\n%s\n%s", len(one), len(three), one, three)
		}
	})
}
