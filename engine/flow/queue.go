package flow

// queue holds the flows of one state in the order in which they came into it.
type queue struct {
	head, tail uint32
	count      int
}

// maxRotate is how many established flows are looked at to find an idle one.
const maxRotate = 16

func (m *Meter) enqueue(i uint32, e *entry) {
	q := &m.queues[e.state]
	e.classPrev, e.classNext = q.tail, 0
	if q.tail != 0 {
		m.table.at(q.tail).classNext = i
	} else {
		q.head = i
	}
	q.tail = i
	q.count++
}

func (m *Meter) dequeue(e *entry) {
	q := &m.queues[e.state]
	if e.classPrev != 0 {
		m.table.at(e.classPrev).classNext = e.classNext
	} else {
		q.head = e.classNext
	}
	if e.classNext != 0 {
		m.table.at(e.classNext).classPrev = e.classPrev
	} else {
		q.tail = e.classPrev
	}
	q.count--
}

// become changes the state of a flow, and with it its timeout.
func (m *Meter) become(i uint32, e *entry, s state) {
	if e.state == s {
		return
	}
	m.dequeue(e)
	e.state = s
	m.enqueue(i, e)
	if m.expires(e)+1 < int64(e.due) {
		m.disarm(e)
		m.arm(i, e)
	}
}

// crowded reports whether there is no room for n bytes more.
func (m *Meter) crowded(n int64) bool {
	sides := len(m.sides) - 1 - len(m.spare)
	return int64(m.table.count)*FlowBytes+int64(sides)*m.sideBytes+n > m.config.Memory
}

// evict ends the least useful flow other than keep: the oldest without an answer, else the one that was closed first, else an
// established one that had no packet since it was last considered - the longest idle of maxRotate where all had. It is false
// if there is none.
func (m *Meter) evict(keep *entry) bool {
	for _, s := range [...]state{stateNew, stateClosed} {
		i := m.queues[s].head
		if i != 0 && m.table.at(i) == keep {
			i = keep.classNext
		}
		if i != 0 {
			m.counts.evicted[s]++
			m.end(i, m.table.at(i), endEvicted)
			return true
		}
	}
	q, victim := &m.queues[stateEstablished], uint32(0)
	for range min(maxRotate, q.count) {
		i := q.head
		e := m.table.at(i)
		idle := e.flags&used == 0
		if idle && e != keep {
			victim = i
			break
		}
		e.flags &^= used
		m.dequeue(e)
		m.enqueue(i, e)
		if e != keep && (victim == 0 || e.last < m.table.at(victim).last) {
			victim = i
		}
	}
	if victim == 0 {
		return false
	}
	m.counts.evicted[stateEstablished]++
	m.end(victim, m.table.at(victim), endEvicted)
	return true
}
