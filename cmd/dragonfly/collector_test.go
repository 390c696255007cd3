package main

import "testing"

func TestCollectAt(t *testing.T) {
	last := smallHeap
	for live := uint64(0); live < 1<<30; live += 1 << 20 {
		p := collectAt(live)
		if p > last || p < largeHeap {
			t.Fatalf("%d MiB: %d after %d", live>>20, p, last)
		}
		if garbage := live * uint64(p) / 100; garbage > max(headroom, live) {
			t.Errorf("%d MiB: %d MiB of garbage", live>>20, garbage>>20)
		}
		last = p
	}
	if collectAt(0) != smallHeap || collectAt(20<<20) != smallHeap || last != largeHeap {
		t.Errorf("%d, %d, %d", collectAt(0), collectAt(20<<20), last)
	}
}
