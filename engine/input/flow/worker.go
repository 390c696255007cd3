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
	shared   *shared // with the other parts of the interface
	renamed  string  // what the interface is called now, if not name, as it was told
	shut     bool    // the ring lets nothing in
	looked   time.Time
	due      bool            // the clock has moved on since the meter was told
	problems map[string]bool // told, as long as they last
	books    *metering.Books
}

// every is how often a worker looks at its interface, its counters and the clock.
const every = time.Second

func (in *input) newWorker(name string, part int, r *ring, s *shared) *worker {
	w := &worker{in: in, name: name, part: part, ring: r, shared: s, decoder: packet.NewDecoder(), problems: map[string]bool{}, books: metering.NewBooks(in.counter)}
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
	w.shared.reset(w.part)
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
	w.meter.Release()
	w.meter = nil
	w.books.NewMeter()
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
