package flow

import (
	"cmp"
	"errors"
	"sync"
)

// state is what has become of an interface.
type state int

const (
	absent state = iota // it has not been captured yet
	gone                // it was removed
	down
	up
)

// shared is what the parts of an interface know together, so that what becomes of it is said once, and that it is captured
// only when all parts of it are.
type shared struct {
	mu    sync.Mutex
	at    []int // index of the interface that a part captures, by part; 0: none
	state state // as it was told
}

// captured notes that a part captures the interface of an index. whole says that now all parts do and before did not; before
// is what was told of the interface then.
func (s *shared) captured(part, index int) (before state, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[part] = index
	for _, other := range s.at {
		if other != index {
			return s.state, false
		}
	}
	before = s.state
	s.state = up
	return before, before != up
}

// left notes that a part captures nothing, and returns what was told before. Of an interface that is gone it is not told any
// more that it is down.
func (s *shared) left(part int, why state) (before state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[part] = 0
	before = s.state
	if before == gone && why == down {
		return down
	}
	s.state = why
	return before
}

// reset notes that a part has ended, and begins anew as at the start.
func (s *shared) reset(part int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[part], s.state = 0, absent
}

// watch compares the interface of the configured name with what the ring is bound to, says what has changed, and binds the
// ring when the interface is there (again).
func (w *worker) watch() {
	n, err := lookUp(w.ring.fd, w.name)
	if err != nil && !errors.Is(err, errNoInterface) {
		w.tell("interface", err)
		return
	}
	delete(w.problems, "interface")
	renamed := ""
	if err != nil && w.at.index != 0 {
		if renamed = nameOf(w.ring.fd, w.at.index); renamed != "" {
			if n, err = lookUp(w.ring.fd, renamed); err != nil || n.index != w.at.index {
				return // it changes just now: the next look sees what it has become
			}
		}
	}
	w.follow(renamed)
	if err != nil || n.index != w.at.index {
		if w.at.index != 0 {
			w.leave(gone)
		}
		if err != nil {
			w.missing()
			return
		}
	}
	if n.index != w.at.index && !w.take(n) {
		return
	}
	w.at.up = n.up
	switch {
	case !n.up && w.state != down:
		w.leave(down)
	case n.up && w.state != up:
		w.state = up
		if before, whole := w.shared.captured(w.part, n.index); whole && before == absent {
			w.begun(n)
		} else if whole {
			w.in.log.Info("interface is back", "interface", w.name)
		}
	}
}

// take binds the ring to an interface; false: it is tried again.
func (w *worker) take(n nic) bool {
	code, err := w.in.compile(w.part, n.link)
	if err == nil {
		err = w.ring.attach(code)
	}
	if err == nil {
		err = w.ring.bind(n, w.in.options.promiscuous)
	}
	if err != nil {
		w.tell("bind", err)
		return false
	}
	delete(w.problems, "bind")
	w.at = n
	return true
}

// begun says that an interface is captured for the first time, by all its parts.
func (w *worker) begun(n nic) {
	w.in.log.Info("capturing", "interface", w.name, "meters", w.in.settings.Meters, "ring_mib", w.ring.blocks*blockLen>>20, "promiscuous", w.in.options.promiscuous && !n.loopback)
	if on := merging(w.ring.fd, w.name); on != "" && !n.loopback {
		w.in.log.Info("the interface may merge packets before they are captured, and then flows have fewer and larger ones", "interface", w.name, "on", on, "remedy", "ethtool -K "+w.name+" gro off lro off")
	}
}

// leave notes that the interface is down or gone.
func (w *worker) leave(s state) {
	w.state = s
	if s == gone {
		w.at = nic{}
	}
	was := w.shared.left(w.part, s)
	if was == s {
		return
	}
	if was == up {
		w.in.count.interfaces.Add(1)
	}
	if s == gone {
		w.in.log.Error("interface was removed: capture goes on when there is one of this name again", "interface", w.name)
		return
	}
	w.in.log.Error("interface is down: capture goes on when it is up", "interface", w.name, "remedy", "ip link set "+cmp.Or(w.renamed, w.name)+" up")
}

// missing says once that there is no interface of the name.
func (w *worker) missing() {
	if w.state == absent && !w.problems["absent"] && w.part == 0 {
		w.in.log.Error("there is no such interface: it is waited for", "interface", w.name, "there_are", present())
	}
	w.problems["absent"] = true
}

// follow notes that the interface has another name now, or with "" its own. It is the same, and the ring stays with it.
func (w *worker) follow(name string) {
	if w.renamed == name {
		return
	}
	w.renamed = name
	if w.part == 0 && name != "" {
		w.in.log.Warn("interface has another name now: it is still captured, but the next start looks for the old name", "interface", w.name, "now", name)
	}
}

// tell logs a problem when it begins.
func (w *worker) tell(what string, err error) {
	if !w.problems[what] && w.part == 0 {
		w.in.log.Error("interface cannot be captured, trying again", "interface", w.name, "err", err)
	}
	w.problems[what] = true
}
