package metering

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
)

// defaults returns the values of a row without keys.
func defaults() engine.Values {
	v := engine.Values{}
	for _, o := range Options {
		v[o.Key] = o.Default
	}
	return v
}

func TestNewReadsTheOptions(t *testing.T) {
	s, err := New(defaults(), "eth0")
	if err != nil {
		t.Fatal(err)
	}
	c := s.Flow
	if c.TCP.New != time.Minute || c.TCP.Established != 10*time.Minute || c.TCP.Closed != time.Minute || c.UDP.New != 30*time.Second ||
		c.ICMP.Established != 5*time.Minute || c.Other.New != 30*time.Second || c.Active != 0 {
		t.Errorf("timeouts: got %+v", c)
	}
	if !s.Flows || s.Meters != 1 || !c.VLAN || c.MaxFlows != 0 || c.Memory != 256<<20 || c.Interface != "eth0" || !c.App.DNS || !c.App.SSH || c.App.DNSVersion != 2 || !c.App.JA4 || c.App.Depth != 1<<20 {
		t.Errorf("got %+v", s)
	}
	v := defaults()
	v["events"], v["meters"], v["max_flows"], v["udp_new"] = []string{"dns", "tls"}, int64(4), int64(1000), 7*time.Second
	if s, err = New(v, ""); err != nil || s.Flows || s.Flow.App.HTTP || !s.Flow.App.TLS || s.Meters != 4 || s.Flow.MaxFlows != 250 || s.Flow.UDP.New != 7*time.Second {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, bad := range [][]string{{"dns", "tsl"}, {}} {
		v["events"] = bad
		_, err := New(v, "")
		if ce := (*engine.ConfigError)(nil); !errors.As(err, &ce) || ce.Key != "events" {
			t.Errorf("events %q: got %v", bad, err)
		}
	}
}

func TestEmitterMakesBatches(t *testing.T) {
	var got []string
	var offsets []int64
	batches := 0
	out := NewEmitter(false, func(records []engine.Record) error {
		batches++
		for _, r := range records {
			got, offsets = append(got, r.Body), append(offsets, r.Offset)
		}
		return nil
	})
	out.Offsets = true
	out.Skip(2)
	var want []string
	scratch := make([]byte, 0, 100_000)
	for i := range 1000 {
		out.Event([]byte(`{"timestamp":"t","flow_id":1,"event_type":"flow"}`)) // not wanted
		scratch = fmt.Appendf(scratch[:0], `{"n":%d,"x":"%s"}`, i, strings.Repeat("x", i%50*1500))
		out.Event(scratch)
		want = append(want, string(scratch))
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want[2:]) || batches != (998+63)/64 || offsets[0] != 2 || offsets[997] != 999 || out.Count() != 1000 {
		t.Errorf("got %d events in %d batches, offsets from %d", len(got), batches, offsets[0])
	}
	sum := out.Sum()
	again := NewEmitter(true, func([]engine.Record) error { return nil })
	for _, s := range want {
		again.Event([]byte(s))
	}
	if again.Sum() != sum || again.Sum() == 0 {
		t.Error("the sum of the same events differs")
	}
}

func TestEmitterKeepsWhatWasRefused(t *testing.T) {
	refuse, stop := true, errors.New("stop")
	var got int
	out := NewEmitter(true, func(records []engine.Record) error {
		if refuse {
			return stop
		}
		got += len(records)
		return nil
	})
	for i := range 200 {
		out.Event(fmt.Appendf(nil, "%d", i))
	}
	if out.Err() != stop || out.Flush() != stop {
		t.Errorf("got %v, want the error of send", out.Err())
	}
	refuse = false
	if err := out.Flush(); err != nil || got != 200 || out.Err() != nil {
		t.Errorf("got %d events, %v", got, err)
	}
}
