package pcap

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/flow"
	"dragonfly/engine/input/internal/metering"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
	"dragonfly/engine/packet/pcap"
)

// look is how many frames are read between two looks at the context, and two updates of the progress.
const look = 1024

// Sink takes the events of a Pass, in the goroutine that called Run. An error ends the pass.
type Sink interface {
	// Begin says that the events that follow belong to the capture with this number. Events of the flows that are left at
	// the end belong to the last one.
	Begin(source int) error
	// Event takes one event, which is valid during the call.
	Event(event []byte) error
	// Pause says that the next event may be long in coming.
	Pause() error
}

// Pass meters captures one after the other as if they were one: flows go on from one to the next, and frames are numbered
// through, as Suricata does with a directory. The events of the same captures come in the same order in each pass with the
// same options. With more meters the order is another one, the events are the same as long as no flow is evicted.
type Pass struct {
	Progress Progress
	Watch    func() // if set, called about once a second and at the end of Run, by one goroutine at a time, when Progress is new

	settings metering.Settings
	filter   *filter.Filter // nil: all frames pass
	number   uint64         // frames of the captures before
	tally    *tally
	watched  time.Time // when Watch was called
}

// NewPass returns a pass with the options of a row; those that are missing have their defaults.
func NewPass(options engine.Values) (*Pass, error) {
	values := engine.Values{}
	for _, o := range metering.Options {
		values[o.Key] = o.Default
		if v, ok := options[o.Key]; ok {
			values[o.Key] = v
		}
	}
	s, err := metering.New(values, "")
	if err != nil {
		return nil, err
	}
	p := &Pass{settings: s}
	if s.Filter != "" {
		p.filter, err = filter.New(s.Filter)
	}
	if err != nil { // of what only live capture can do
		return nil, &engine.ConfigError{Key: "filter", Msg: strings.TrimPrefix(err.Error(), "filter: ")}
	}
	return p, nil
}

// Run meters sources, in their order. A capture that is damaged, or is none, is metered as far as it goes, and then the
// others are; the error is Damaged then. Other errors are those of ctx and of sink.
// For a Stream, the end of ctx is its end.
func (p *Pass) Run(ctx context.Context, sources []Source, sink Sink) error {
	p.number, p.tally = 0, newTally(p.settings.Meters)
	run := p.runOne
	if p.settings.Meters > 1 {
		run = p.runMany
	}
	err := run(ctx, sources, sink)
	p.watched = time.Time{}
	p.publish()
	return err
}

// publish makes the progress known.
func (p *Pass) publish() {
	p.Progress.take(p.tally)
	if now := time.Now(); p.Watch != nil && now.Sub(p.watched) >= time.Second {
		p.watched = now
		p.Watch()
	}
}

// runOne meters in this goroutine.
func (p *Pass) runOne(ctx context.Context, sources []Source, sink Sink) error {
	var failed error // of the sink, within a call of the meter
	m := flow.New(p.settings.Flow, func(event []byte) {
		if failed == nil && (p.settings.Flows || !metering.IsFlow(event)) {
			failed = sink.Event(event)
		}
	})
	defer m.Release()
	d := packet.NewDecoder()
	var packets []packet.Packet
	damaged, err := p.read(ctx, sources, frames{
		begin: sink.Begin,
		pause: sink.Pause,
		frame: func(f *packet.Frame) error {
			packets = d.Decode(f, packets[:0])
			p.tally.packets += uint64(len(packets))
			for i := range packets {
				m.Packet(&packets[i])
			}
			return failed
		},
		look: func() { p.tally.decoder(d); p.tally.meter(0, m); p.publish() },
	})
	if err != nil {
		return err
	}
	m.CloseAt(p.tally.now)
	p.tally.meter(0, m)
	if failed == nil {
		failed = sink.Pause()
	}
	if failed != nil {
		return failed
	}
	return damaged
}

// frames is what becomes of what read reads.
type frames struct {
	begin func(source int) error
	pause func() error // a read of a live source may wait
	frame func(f *packet.Frame) error
	look  func() // now and then, and at the end of each source
}

// read reads all sources. damaged tells of those that cannot be read to their end; err is what ended it before its time.
func (p *Pass) read(ctx context.Context, sources []Source, to frames) (damaged, err error) {
	var all Damaged
	var r pcap.Reader
	defer r.Close()
	for i, s := range sources {
		if err := to.begin(i); err != nil {
			return nil, err
		}
		broken, err := p.readOne(ctx, &r, s, to)
		to.look()
		if err != nil {
			return nil, err
		}
		if broken != nil {
			all = append(all, fmt.Errorf("%s: %w", s.Path, broken))
		}
	}
	if len(all) > 0 {
		damaged = all
	}
	return damaged, nil
}

// Damaged is the error of captures that cannot be read to their end, with one for each. It is an engine.ErrDamaged.
type Damaged []error

func (d Damaged) Error() string {
	text := engine.ErrDamaged.Error()
	for i, err := range d {
		text += [...]string{": ", "; "}[min(i, 1)] + err.Error()
	}
	return text
}

// Is implements what errors.Is asks for.
func (d Damaged) Is(target error) bool { return target == engine.ErrDamaged }

// Unwrap implements what errors.Is asks for.
func (d Damaged) Unwrap() []error { return d }

func (p *Pass) readOne(ctx context.Context, r *pcap.Reader, s Source, to frames) (broken, err error) {
	if s.stream != nil {
		return p.readStream(ctx, s.stream, to)
	}
	if f, ok := s.Reader.(*os.File); ok {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err, nil
		}
	}
	if err := r.Reset(countReader{contextReader{ctx, s.Reader}, &p.Progress}); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return err, nil
	}
	if broken, err = p.frames(ctx, r, to); err == nil {
		err = ctx.Err()
	}
	return broken, err
}

// frames reads to the end of r, or of ctx, whose error is broken then.
func (p *Pass) frames(ctx context.Context, r *pcap.Reader, to frames) (broken, err error) {
	var f packet.Frame
	before, lost := r.Frames(), r.Dropped()
	defer func() { p.number += r.Frames() - before }()
	for n := 1; ; n++ {
		if err := r.Next(&f); err != nil {
			p.tally.dropped += r.Dropped() - lost
			if err == io.EOF {
				return nil, nil
			}
			return err, nil
		}
		f.Number += p.number
		if ok, err := p.takes(&f); err != nil {
			return err, nil
		} else if ok {
			p.tally.frame(&f)
			if err := to.frame(&f); err != nil {
				return nil, err
			}
		}
		if n%look == 0 {
			if err := ctx.Err(); err != nil {
				return err, nil
			}
			to.look()
		}
	}
}

// takes reports whether a frame passes the filter of the row. The error says that frames of its link type cannot be filtered.
func (p *Pass) takes(f *packet.Frame) (bool, error) {
	if p.filter == nil {
		return true, nil
	}
	ok, err := p.filter.Match(f)
	if err != nil {
		return false, fmt.Errorf("frame %d: %w", f.Number, err)
	}
	return ok, nil
}

// contextReader is a reader that ends with its context.
type contextReader struct {
	ctx context.Context
	src io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.src.Read(b)
}

// countReader adds what is read to a progress.
type countReader struct {
	src io.Reader
	to  *Progress
}

func (r countReader) Read(b []byte) (int, error) {
	n, err := r.src.Read(b)
	r.to.addRead(n)
	return n, err
}
