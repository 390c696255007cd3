package flow

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/flow"
	"dragonfly/engine/input/internal/metering"
	"dragonfly/engine/packet"
)

// worker reads one ring. It belongs to the goroutine of its run; between two Runs nobody touches it.
type worker struct {
	in       *input
	name     string // of the interface, as configured
	part     int    // of the interface's frames, below settings.Meters
	ring     *ring
	decoder  *packet.Decoder
	meter    *flow.Meter // nil: run makes one
	out      *metering.Emitter
	packets  []packet.Packet
	late     context.Context // of the Run that goes on: until when events may wait in the queue
	at       nic             // what the ring is bound to
	state    state
	renamed  string // what the interface is called now, if it is told
	shut     bool   // the ring lets nothing in
	looked   time.Time
	due      bool            // the clock has moved on since the meter was told
	problems map[string]bool // told, as long as they last
	books    books
}

// state is what has become of the interface.
type state int

const (
	absent state = iota // it has not been there yet
	gone                // it was removed
	down
	up
)

// every is how often a worker looks at its interface, its counters and the clock.
const every = time.Second

func (in *input) newWorker(name string, part int, r *ring) *worker {
	w := &worker{in: in, name: name, part: part, ring: r, decoder: packet.NewDecoder(), problems: map[string]bool{}, books: books{map[string]uint64{}}}
	w.out = metering.NewEmitter(in.settings.Flows, func(records []engine.Record) error {
		if in.queue.put(w.late, records, w.drops) != nil {
			in.count.lost.Add(int64(len(records)))
		}
		return nil
	})
	return w
}

// run meters the frames of the ring until ctx is done, and then what is left in it, unless the input is handed over. late ends
// when events may wait no longer.
func (w *worker) run(ctx, late context.Context) error {
	w.late = late
	if w.meter == nil {
		c := w.in.settings.Flow
		c.Interface = w.name
		w.meter = flow.New(c, w.out.Event)
	}
	if w.shut { // by the end of another Run
		w.shut, w.at, w.state = false, nic{}, absent
		w.watch()
	}
	for ctx.Err() == nil {
		some, err := w.ring.read(w.frame, w.at.loopback)
		if err != nil {
			return err
		}
		if now := time.Now(); now.Sub(w.looked) >= every {
			w.tick(now)
		}
		if some {
			continue
		}
		w.rest()
		if err := w.ring.wait(w.in.options.timeout); err != nil && w.fault(err) != nil {
			return err
		}
	}
	if engine.HandedOver(ctx, w.in) {
		w.out.Flush()
		w.tally()
		return nil
	}
	return w.finish()
}

// frame meters one frame.
func (w *worker) frame(f *packet.Frame) {
	w.packets = w.decoder.Decode(f, w.packets[:0])
	for i := range w.packets {
		w.meter.Packet(&w.packets[i])
	}
}

// tick is called about once a second.
func (w *worker) tick(now time.Time) {
	w.looked, w.due = now, true
	w.out.Flush()
	w.tally()
	w.watch()
}

// rest is called when the ring is empty. Once a second it ends the flows that are idle by the clock; frames that came just now
// may still wait in the kernel. While the ring is never empty the times of packets do this.
func (w *worker) rest() {
	if w.due {
		w.due = false
		w.meter.Advance(w.looked.Add(-2 * time.Duration(w.in.options.timeout) * time.Millisecond).UnixNano())
	}
	w.out.Flush()
}

// finish meters what is in the ring when nothing more comes in, and reports the flows that are left.
func (w *worker) finish() error {
	err := w.ring.shut()
	w.shut = true
	quiet := 0 // a block that is not full comes when its timeout is over
	for deadline := time.Now().Add(patience); err == nil && quiet < 2 && time.Now().Before(deadline); {
		some, bad := w.ring.read(w.frame, w.at.loopback)
		if bad != nil {
			err = bad
			break
		}
		if some {
			quiet = 0
			continue
		}
		begun := time.Now()
		w.ring.wait(w.in.options.timeout + 10)
		if time.Since(begun) >= time.Duration(w.in.options.timeout)*time.Millisecond {
			quiet++
		}
	}
	w.meter.Close()
	w.out.Flush()
	w.tally()
	w.meter = nil
	for _, name := range []string{"packets_not_metered", "flows", "flows_evicted"} {
		delete(w.books.told, name) // of that meter
	}
	return err
}

// fault is told what wait returned. It returns what cannot be mended by waiting.
func (w *worker) fault(err error) error {
	if errors.Is(err, unix.ENETDOWN) {
		w.watch()
		return nil
	}
	return err
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
	if err != nil || n.index != w.at.index {
		if w.at.index != 0 {
			if name := nameOf(w.ring.fd, w.at.index); name != "" && err != nil {
				w.follow(name)
				return
			}
			w.leave(gone)
		}
		if err != nil {
			w.missing()
			return
		}
	}
	w.renamed = ""
	if n.index != w.at.index && !w.take(n) {
		return
	}
	w.at.up = n.up
	switch {
	case !n.up && w.state != down:
		w.leave(down)
	case n.up && w.state != up:
		if w.part == 0 && w.state != absent {
			w.in.log.Info("interface is back", "interface", w.name)
		}
		w.state = up
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
	if w.part == 0 {
		w.in.log.Info("capturing", "interface", w.name, "meters", w.in.settings.Meters, "ring_mib", w.ring.blocks*blockLen>>20, "promiscuous", w.in.options.promiscuous && !n.loopback)
		if on := merging(w.ring.fd, w.name); on != "" && !n.loopback {
			w.in.log.Info("the interface may merge packets before they are captured, and then flows have fewer and larger ones", "interface", w.name, "on", on, "remedy", "ethtool -K "+w.name+" gro off lro off")
		}
	}
	return true
}

// leave notes that the interface is down or gone.
func (w *worker) leave(s state) {
	was := w.state
	w.state = s
	if s == gone {
		w.at = nic{}
	}
	if w.part != 0 || was == s {
		return
	}
	w.in.count.interfaces.Add(1)
	if s == gone {
		w.in.log.Error("interface was removed: capture goes on when there is one of this name again", "interface", w.name)
		return
	}
	w.in.log.Error("interface is down: capture goes on when it is up", "interface", w.name, "remedy", "ip link set "+w.name+" up")
}

// missing says once that there is no interface of the name.
func (w *worker) missing() {
	if w.state == absent && !w.problems["absent"] && w.part == 0 {
		w.in.log.Error("there is no such interface: it is waited for", "interface", w.name, "there_are", present())
	}
	w.problems["absent"] = true
}

// follow notes that the interface has another name now. It is the same, and the ring stays with it.
func (w *worker) follow(name string) {
	if w.renamed == name {
		return
	}
	w.renamed = name
	if w.part == 0 {
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
