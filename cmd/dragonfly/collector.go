package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may pile up before it is collected.
const (
	smallHeap = 400       // percent of what is in use; measured: 5 to 20 % less CPU than Go's 100
	largeHeap = 100       // the same where much is in use
	headroom  = 128 << 20 // bytes, from which on it becomes less than smallHeap
)

// tuneCollector lets a small heap grow to its fivefold, and a large one only to its double: what is saved by collecting less
// often does not grow with the heap, and the memory that it costs does. With GOGC the user decides.
func tuneCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(smallHeap)
	go func() {
		now := smallHeap
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for range time.Tick(250 * time.Millisecond) {
			metrics.Read(sample)
			if next := collectAt(sample[0].Value.Uint64()); next != now {
				now = next
				debug.SetGCPercent(now)
			}
		}
	}()
}

// collectAt returns the percentage for a heap of which live bytes are in use, in steps of 50 so that it seldom changes.
func collectAt(live uint64) int {
	return min(smallHeap, max(largeHeap, int(headroom*100/max(live, 1))/50*50))
}
