package engine

import (
	"cmp"
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"
)

// timers delivers events to analyzers later. All pending timers are kept; equal times fire in the order they were set.
type timers struct {
	mu      sync.Mutex
	heap    timerHeap
	n       int           // order of equal times
	changed chan struct{} // 1 token when the first to fire may be another
}

type pendingTimer struct {
	Timer
	of   *Partition // nil: of none
	late bool       // a repetition that was postponed
	at   time.Time
	n    int
}

func newTimers() *timers { return &timers{changed: make(chan struct{}, 1)} }

func (t *timers) add(timer Timer, of *Partition) { t.addAt(timer, of, time.Now().Add(timer.After)) }

func (t *timers) addAt(timer Timer, of *Partition, at time.Time) {
	t.mu.Lock()
	t.n++
	heap.Push(&t.heap, pendingTimer{Timer: timer, of: of, at: at, n: t.n})
	t.mu.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// run fires timers until ctx is done.
func (t *timers) run(ctx context.Context, fire func([]pendingTimer)) {
	for {
		due, wait := t.due(time.Now())
		if len(due) > 0 {
			fire(due)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-t.changed:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// due removes the timers that fire now and returns how long to wait for the next. Repeating ones are set again: a
// repetition that was missed is left out.
func (t *timers) due(now time.Time) (due []pendingTimer, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.heap) > 0 && !t.heap[0].at.After(now) {
		p := heap.Pop(&t.heap).(pendingTimer)
		due = append(due, p)
		if p.Every {
			next := p.at.Add(p.After)
			if next.Before(now) {
				next = now.Add(p.After)
			}
			p.at = next
			heap.Push(&t.heap, p)
		}
	}
	if len(t.heap) == 0 {
		return due, time.Hour
	}
	return due, t.heap[0].at.Sub(now)
}

// drain removes all timers and returns those that fire once, in order of their time.
func (t *timers) drain() []pendingTimer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var once []pendingTimer
	for len(t.heap) > 0 {
		if p := heap.Pop(&t.heap).(pendingTimer); !p.Every {
			once = append(once, p)
		}
	}
	return once
}

// drainOf removes the timers of a partition and returns those that fire once, in order of their time.
func (t *timers) drainOf(p *Partition) []pendingTimer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var once, rest timerHeap
	for _, timer := range t.heap {
		switch {
		case timer.of != p:
			rest = append(rest, timer)
		case !timer.Every:
			once = append(once, timer)
		}
	}
	t.heap = rest
	heap.Init(&t.heap)
	slices.SortFunc(once, func(a, b pendingTimer) int { return cmp.Or(a.at.Compare(b.at), a.n-b.n) })
	return once
}

// postpone takes timers that were due while their partition was held: they fire at another time, repeating ones once however
// often they were due.
func (t *timers) postpone(due []pendingTimer, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range due {
		if p.Every && slices.ContainsFunc(t.heap, func(o pendingTimer) bool { return o.late && o.n == p.n }) {
			continue
		}
		p.late = p.late || p.Every
		p.at, p.Every = at, false // it is set again already
		heap.Push(&t.heap, p)
	}
}

// giveBack takes timers that were due and did not fire; repeating ones are set again already.
func (t *timers) giveBack(due []pendingTimer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range due {
		if !p.Every {
			heap.Push(&t.heap, p)
		}
	}
}

func (t *timers) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.heap)
}

type timerHeap []pendingTimer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].n < h[j].n
	}
	return h[i].at.Before(h[j].at)
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)   { *h = append(*h, x.(pendingTimer)) }
func (h *timerHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	*h = old[:len(old)-1]
	return p
}
