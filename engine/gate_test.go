package engine

import (
	"testing"
	"testing/synctest"
)

// TestTurnIsPassedOn: a shard waits for another whose event has travelled further; that one is done with it, and goes on
// with an event that has travelled less. The first must not wait for ever: then both would.
func TestTurnIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 1)
		a, b := &shard{}, &shard{}
		g.shards = []*shard{a, b}
		g.queued.Store(10)
		a.head.Store(5)
		b.head.Store(4)
		passed := make(chan string, 2)
		go func() { g.turn(t.Context(), 4); b.head.Store(-1); g.progress(); passed <- "b" }()
		synctest.Wait()
		a.head.Store(3) // after the last wake-up of the event before
		go func() { g.turn(t.Context(), 3); passed <- "a" }()
		if first, second := <-passed, <-passed; first != "b" || second != "a" {
			t.Errorf("got %s, then %s", first, second)
		}
	})
}
