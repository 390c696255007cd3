package engine

import (
	"testing"
	"time"
)

// Pauses double up to lastWait, and no two rows have the same: each is up to a quarter shorter.
func TestBackoffIsSpread(t *testing.T) {
	different := map[time.Duration]bool{}
	for range 20 {
		b, full := backoff{}, 50*time.Millisecond
		for range 10 {
			d := b.pause()
			if d > full || d <= full*3/4-1 {
				t.Fatalf("got %v, want 3/4 to all of %v", d, full)
			}
			different[d] = true
			full = min(2*full, lastWait)
		}
	}
	if len(different) < 150 {
		t.Errorf("only %d of 200 pauses are different", len(different))
	}
}
