package pcap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/packet/pcap"
)

const (
	streamChunk = 64 << 10        // bytes of one read
	patience    = 5 * time.Second // how long the last events of a stream wait for room in the pipeline
)

// stream is a capture that cannot be read again, such as standard input. Its end is also the end of the context of a Pass:
// that reports all flows, and the next Pass goes on where it stopped.
type stream struct {
	src    io.Reader
	begin  sync.Once
	chunks chan streamRead // written and closed by pump

	ctx    context.Context // of the Pass that reads
	pause  func() error    // before a read may wait
	rest   []byte          // of the last chunk
	err    error           // how the source ended
	begun  bool            // the reader has the head of the capture
	head   []byte          // what was read before that
	reader pcap.Reader
}

type streamRead struct {
	b   []byte
	err error
}

// Stream returns a source that reads src, which it calls path, once.
func Stream(path string, src io.Reader) Source {
	s := newStream(src)
	return Source{Path: path, Reader: s, stream: s}
}

func newStream(src io.Reader) *stream { return &stream{src: src, chunks: make(chan streamRead)} }

// pump reads the source, one chunk ahead. Nobody can interrupt a read: it goes on until the source or the process ends.
func (s *stream) pump() {
	defer close(s.chunks)
	for {
		b := make([]byte, streamChunk)
		n, err := s.src.Read(b)
		if n > 0 {
			s.chunks <- streamRead{b: b[:n]}
		}
		if err != nil {
			s.chunks <- streamRead{err: err}
			return
		}
	}
}

// errStopped is the end of a stream with its context.
var errStopped = errors.New("stopped")

// start prepares the stream for another Pass and returns its reader, which may have to be Reset still.
func (s *stream) start(ctx context.Context, pause func() error) {
	s.ctx, s.pause = ctx, pause
	s.begin.Do(func() { go s.pump() })
	if !s.begun {
		s.rest, s.head = append(s.head, s.rest...), nil
	}
}

// Read implements io.Reader for the pass that has started it.
func (s *stream) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if err := s.pause(); err != nil {
			return 0, err
		}
		select {
		case c := <-s.chunks:
			if s.rest, s.err = c.b, c.err; s.err != nil {
				return 0, s.err
			}
		case <-s.ctx.Done():
			return 0, errStopped
		}
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	if !s.begun {
		s.head = append(s.head, b[:n]...)
	}
	return n, nil
}

// readStream meters what comes until the stream or ctx ends.
func (p *Pass) readStream(ctx context.Context, s *stream, to frames) (broken, err error) {
	s.start(ctx, func() error {
		to.look()
		err = to.pause()
		return err
	})
	if !s.begun {
		broken = s.reader.Reset(countReader{s, &p.Progress})
		s.begun = broken == nil
	}
	if broken == nil {
		s.head = nil
		broken, err = p.frames(ctx, &s.reader, to)
	}
	switch {
	case err != nil:
		return nil, err
	case errors.Is(broken, errStopped) && ctx.Err() == nil:
		return fmt.Errorf("a packed stream cannot be read on after a pause: start again with its beginning"), nil
	case errors.Is(broken, errStopped), errors.Is(broken, context.Canceled):
		return nil, nil
	}
	return broken, nil
}

// runStream is Run for pcap://-. When ctx ends, the flows so far are reported: nobody can send the packets again.
func (in *input) runStream(ctx context.Context, emit engine.EmitFunc) error {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancel) })()
	d := &delivery{in: in, ctx: last, emit: emit, files: []*delivered{{path: "-"}}}
	err := in.meter(ctx, []Source{{Path: "-", Reader: in.stdin, stream: in.stdin}}, d)
	if ctx.Err() == nil {
		return err
	}
	if err != nil {
		in.log.Warn("events of a stream are lost: the pipeline had no room for them when the engine ended; outputs that work, or have a spool, prevent that", "path", "-", "err", err)
	}
	return nil
}
