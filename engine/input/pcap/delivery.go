package pcap

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/metering"
	"dragonfly/engine/input/lines"
)

// delivery is the Sink of the input: it makes batches of records, and passes over what was finished before.
//
// Metering is deterministic, so the position of a file is how many of its events are finished, with their checksum. As flows
// go on from file to file, the files of a run are finished together: only then are they marked so.
type delivery struct {
	in   *input
	ctx  context.Context // of the Run whose delivery it is
	emit engine.EmitFunc

	files []*delivered // those to meter, in order
	file  *delivered   // whose events come now
	out   *metering.Emitter
	acks  acks
}

// delivered is what is known of one file.
type delivered struct {
	path   string
	cursor *engine.Cursor // nil without checkpoint
	skip   int64          // events that were finished before
	mark   uint32         // of them
	whole  bool           // all of its events were handed on by this delivery, in a pass before
}

// errChanged ends a pass whose events are others than those that were finished before.
var errChanged = errors.New("the events have changed")

// plan looks at what is finished and returns the sources to meter.
func (d *delivery) plan(sources []Source) (todo []Source) {
	in := d.in
	if !in.remember {
		for _, s := range sources {
			d.files = append(d.files, &delivered{path: s.Path})
		}
		return sources
	}
	old := in.checkpoints.Load(in.tag)
	in.checkpoints.Start(in.tag)
	positions := make([]engine.Position, len(sources))
	fresh, earlier := false, true
	for i, s := range sources {
		p := place(s, old)
		positions[i] = p
		fresh = fresh || !p.Finished
		earlier = earlier && p.Earlier
	}
	if in.again && !fresh && earlier {
		in.log.Info("all of it was metered by an earlier run, and nothing is new: it is metered again (checkpoint = true in its row prevents that)")
		for i := range positions {
			positions[i].Offset, positions[i].Mark, positions[i].Finished = 0, 0, false
		}
	}
	for i, s := range sources {
		p := positions[i]
		cursor := in.checkpoints.Cursor(in.tag, p)
		if p.Finished {
			cursor.Finish()
			continue
		}
		if p.Offset > 0 {
			in.log.Info("metering again what was metered before: its events are passed over", "path", s.Path, "events", p.Offset)
		}
		todo = append(todo, s)
		d.files = append(d.files, &delivered{path: s.Path, cursor: cursor, skip: p.Offset, mark: p.Mark})
	}
	return todo
}

// place returns the position of a file: as it was remembered, or new.
func place(s Source, old []engine.Position) engine.Position {
	f, ok := s.Reader.(*os.File)
	if !ok {
		return engine.Position{Path: s.Path}
	}
	at, err := lines.Identify(f, s.Path)
	if err != nil {
		return engine.Position{Path: s.Path}
	}
	at.Size = size(f)
	for _, p := range old {
		if !lines.Same(f, p) {
			continue
		}
		if p.Finished && p.Size != at.Size {
			return at // it has grown, and the flows at its end go on now
		}
		at.Offset, at.Mark, at.Finished, at.Earlier = p.Offset, p.Mark, p.Finished, p.Earlier
	}
	return at
}

func size(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// Begin implements Sink.
func (d *delivery) Begin(source int) error {
	if err := d.end(); err != nil {
		return err
	}
	d.file = d.files[source]
	d.out = metering.NewEmitter(true, d.send)
	d.out.Offsets = true
	d.out.Skip(d.file.skip)
	return nil
}

// end ends the events of a file.
func (d *delivery) end() error {
	if d.file == nil {
		return nil
	}
	if d.out.Count() < d.file.skip && !d.file.whole {
		return d.changed()
	}
	return d.out.Flush()
}

// Event implements Sink.
func (d *delivery) Event(event []byte) error {
	d.out.Event(event)
	if d.out.Count() == d.file.skip && d.out.Sum() != d.file.mark && d.file.mark != 0 {
		return d.changed()
	}
	return d.out.Err()
}

// Pause implements Sink.
func (d *delivery) Pause() error { return d.out.Flush() }

// changed prepares another pass, in which the events of the current file, as they are now, are handed on from the first.
func (d *delivery) changed() error {
	d.in.log.Warn("the events of a capture are not those that were delivered before the end: all of its events are delivered again. Options, files or this program have changed", "path", d.file.path, "delivered_before", d.file.skip)
	for _, f := range d.files {
		if f == d.file {
			break
		}
		f.skip, f.mark, f.whole = 1<<62, 0, true
	}
	d.file.skip, d.file.mark = 0, 0
	d.file.cursor.Update(func(p *engine.Position) { p.Offset, p.Mark = 0, 0 })
	d.file = nil
	return errChanged
}

// send hands records to the engine.
func (d *delivery) send(records []engine.Record) error {
	b := engine.Batch{Origin: "pcap://" + d.file.path, Records: records}
	cursor := d.file.cursor
	if cursor == nil {
		return d.emit(d.ctx, b)
	}
	done := cursor.TrackMark(d.out.Count(), d.out.Sum())
	b.Done = d.acks.add(done)
	err := d.emit(d.ctx, b)
	if err != nil {
		cursor.Untrack()
		d.acks.remove()
	}
	return err
}

// finish says that all is metered and handed on: when all is acked, all files are finished.
func (d *delivery) finish(sources []Source) {
	for i, f := range d.files {
		if file, ok := sources[i].Reader.(*os.File); ok && f.cursor != nil {
			read, _ := file.Seek(0, io.SeekCurrent)
			f.cursor.Update(func(p *engine.Position) { p.Size = max(p.Size, read) })
		}
	}
	d.acks.whenAll(func() {
		for _, f := range d.files {
			if f.cursor != nil {
				f.cursor.Finish()
			}
		}
	})
}

// acks counts the batches that are not finished.
type acks struct {
	mu   sync.Mutex
	open int
	then func() // when open is 0; nil until whenAll
}

// add returns done with a count of it.
func (a *acks) add(done func()) func() {
	a.mu.Lock()
	a.open++
	a.mu.Unlock()
	return func() {
		done()
		a.remove()
	}
}

func (a *acks) remove() {
	a.mu.Lock()
	a.open--
	then := a.then
	if a.open > 0 {
		then = nil
	}
	a.mu.Unlock()
	if then != nil {
		then()
	}
}

// whenAll calls then once, when all that was added is done.
func (a *acks) whenAll(then func()) {
	a.mu.Lock()
	a.then = then
	none := a.open == 0
	a.mu.Unlock()
	if none {
		then()
	}
}
