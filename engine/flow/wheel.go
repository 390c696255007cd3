package flow

// slots is how many seconds the wheel looks ahead. Flows with longer timeouts are looked at more often.
const slots = 1 << 10

// wheel finds idle flows. Each flow is in the slot of the second at which it may be idle; that second is right when it is put
// there, and packets do not move it: when the second comes, flows with later packets go to a later slot.
type wheel struct {
	heads [slots]uint32
	now   uint32 // second up to which flows were looked at
	begun bool
}

// seconds returns whole seconds since 1970, within what a capture file can say.
func seconds(ns int64) uint32 {
	if ns < 0 {
		return 0
	}
	return uint32(min(ns/1e9, 1<<32-1-slots))
}

// arm puts entry i, which is in no slot, where it is looked at when idle since its last packet.
func (m *Meter) arm(i uint32, e *entry) {
	w, at := &m.wheel, m.expires(e)+1
	at = min(max(at, int64(w.now)+1), int64(w.now)+slots-1)
	e.due = uint32(at)
	head := &w.heads[e.due%slots]
	e.timerPrev, e.timerNext = 0, *head
	if *head != 0 {
		m.table.at(*head).timerPrev = i
	}
	*head = i
}

// disarm takes e out of its slot, if it is in one.
func (m *Meter) disarm(e *entry) {
	if e.due == 0 {
		return
	}
	if e.timerNext != 0 {
		m.table.at(e.timerNext).timerPrev = e.timerPrev
	}
	if e.timerPrev != 0 {
		m.table.at(e.timerPrev).timerNext = e.timerNext
	} else {
		m.wheel.heads[e.due%slots] = e.timerNext
	}
}

// expires returns the last second in which a packet still belongs to e.
func (m *Meter) expires(e *entry) int64 {
	return int64(seconds(e.last)) + m.timeouts[m.class(e.proto)][e.state]
}

// turn ends the flows that are idle in second now.
func (m *Meter) turn(now uint32) {
	w := &m.wheel
	if !w.begun {
		w.now, w.begun = now, true
		return
	}
	if now <= w.now {
		return
	}
	from, n := w.now, min(now-w.now, slots)
	w.now = now
	for s := range n {
		head := &w.heads[(from+1+s)%slots]
		i := *head
		*head = 0
		for i != 0 {
			e := m.table.at(i)
			next := e.timerNext
			if m.expires(e) < int64(now) {
				e.due = 0
				m.end(i, e, endIdle)
			} else {
				m.arm(i, e)
			}
			i = next
		}
	}
}
