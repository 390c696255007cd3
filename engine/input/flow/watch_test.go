package flow

import "testing"

func TestSharedTellsOnce(t *testing.T) {
	s := &shared{at: make([]int, 2)}
	captured := func(part, index int, before state, whole bool) {
		t.Helper()
		if b, w := s.captured(part, index); w != whole || w && b != before {
			t.Errorf("captured(%d, %d): got %v, %v, want %v, %v", part, index, b, w, before, whole)
		}
	}
	left := func(part int, why, before state) {
		t.Helper()
		if got := s.left(part, why); got != before {
			t.Errorf("left(%d, %v): got %v, want %v", part, why, got, before)
		}
	}
	captured(0, 5, absent, false)
	captured(1, 5, absent, true)
	left(0, down, up)
	captured(0, 5, down, true) // before the other has noticed anything
	left(1, gone, up)
	left(0, down, down) // nothing new: it is gone
	captured(1, 6, gone, false)
	left(0, gone, gone)
	captured(0, 6, gone, true)
	captured(0, 6, up, false)
	s.reset(0)
	s.reset(1)
	captured(1, 6, absent, false)
	captured(0, 6, absent, true)
}
