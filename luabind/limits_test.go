package luabind

import (
	"testing"
	"time"
)

// A process that is stopped for a while, by SIGSTOP or with its machine, has not run a call for that long.
func TestStoppedProcessIsNoSlowCall(t *testing.T) {
	w, l := newWatchdog(), &limits{}
	l.timeout.Store(int64(time.Second))
	w.watched[l] = &watch{}
	l.begin()
	now := time.Now()
	look := func(after time.Duration) { now = now.Add(after); w.look(now) }
	look(watchEvery)
	look(watchEvery)
	look(10 * time.Second)
	if l.stopped() {
		t.Fatal("a call was stopped because the process had been stopped")
	}
	looks := 0
	for ; !l.stopped() && looks < 200; looks++ {
		look(watchEvery)
	}
	if looks < 90 || looks > 100 {
		t.Errorf("stopped after %d looks of %v, want about 1 s", looks, watchEvery)
	}
	l.end()
	l.begin()
	if look(watchEvery); l.stopped() {
		t.Error("the next call is stopped too")
	}
}
