package engine

import "testing"

func TestStatisticsAreThoseOfTheRow(t *testing.T) {
	e := &Engine{cfg: &Config{Inputs: []InputRow{{Tag: "a"}, {Tag: "b"}}}, books: []*books{{tag: "a"}, {tag: "b"}}}
	e.parts.Counters = NewCounters()
	e.parts.Counters.Of("input", "a")("frames_total", "").Add(3)
	e.parts.Counters.Of("input", "b")("frames_total", "").Add(4)
	e.parts.Counters.Of("output", "a")("frames_total", "").Add(5)
	e.books[1].read.Add(7)
	got := e.Statistics()
	if len(got) != 2 || got[0].Tag != "a" || len(got[0].Counters) != 1 || got[0].Counters[0] != (Count{"frames_total", 3}) || got[0].Account.Read != 0 {
		t.Errorf("got %+v", got)
	}
	if got[1].Counters[0].N != 4 || got[1].Account.Read != 7 || got[1].Account.InFlight != 7 {
		t.Errorf("got %+v", got[1])
	}
}
