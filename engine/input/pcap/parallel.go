package pcap

import (
	"context"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"dragonfly/engine/flow"
	"dragonfly/engine/input/internal/metering"
	"dragonfly/engine/packet"
)

const (
	jobs       = 4         // between the reader and the meters
	jobPackets = 2048      // of a job, about
	jobBytes   = 512 << 10 // of their payloads, about
	partBytes  = 256 << 10 // of events that wait for their turn
)

// job is a run of packets. All meters get all jobs: each takes the packets that are its own, and of the others the time, so
// that flows end when they would in one meter.
type job struct {
	packets []packet.Packet
	owner   []uint8 // of each packet: the number of its meter
	bytes   []byte  // what their slices point into
	left    atomic.Int32
	last    bool
	now     int64 // last: time of the last frame
}

// turn tells the collector what comes next.
type turn struct {
	source int  // begins; or -1
	job    bool // each meter has finished a part
	pause  bool
}

// part is a run of events of one meter.
type part struct {
	bytes []byte
	ends  []int
	end   bool // of the job
}

// crew is a parallel pass. One goroutine reads and decodes, one for each meter meters, and the caller's collects the
// events: job by job, and of each job meter by meter, so that their order does not depend on the speed of any of them.
type crew struct {
	pass  *Pass
	ctx   context.Context // of this pass only: crew ends with it
	free  chan *job       // written by the last meter of a job, read by the reader
	work  []chan *job     // written and closed by the reader, read by one meter each
	turns chan turn       // written and closed by the reader, read by the collector
	parts []chan *part    // written by one meter each, read by the collector
	spare chan *part      // written by the collector, read by the meters
	fill  *job            // the reader's
}

// runMany meters with several meters.
func (p *Pass) runMany(ctx context.Context, sources []Source, sink Sink) error {
	reading, stopReading := context.WithCancel(ctx)
	base := ctx
	if live(sources) {
		base = context.WithoutCancel(ctx) // what is read by then is metered
	}
	inner, stop := context.WithCancel(base)
	n := p.settings.Meters
	c := &crew{pass: p, ctx: inner, free: make(chan *job, jobs), turns: make(chan turn, 2*jobs), spare: make(chan *part, 4*n)}
	for range jobs {
		c.free <- &job{}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	defer stopReading()
	for range n {
		c.work = append(c.work, make(chan *job, jobs))
		c.parts = append(c.parts, make(chan *part, 2))
	}
	for i := range n {
		wg.Go(func() { c.meter(i) })
	}
	var damaged, failed error // of the reader, until read is closed
	read := make(chan struct{})
	wg.Go(func() {
		defer close(read)
		defer c.finish()
		damaged, failed = c.read(reading, sources)
	})
	err := c.collect(sink)
	if err != nil {
		stopReading()
		stop()
	}
	<-read
	if err == nil {
		err = failed
	}
	if err == nil {
		err = damaged
	}
	return err
}

func live(sources []Source) bool {
	return slices.ContainsFunc(sources, func(s Source) bool { return s.stream != nil })
}

// read is the reader. The end of ctx is the end of a stream; that of c.ctx ends the pass.
func (c *crew) read(ctx context.Context, sources []Source) (damaged, err error) {
	d := packet.NewDecoder()
	p := c.pass
	var packets []packet.Packet
	if c.fill = c.next(); c.fill == nil {
		return nil, c.ctx.Err()
	}
	damaged, err = p.read(ctx, sources, frames{
		begin: func(i int) error {
			if err := c.dispatch(); err != nil {
				return err
			}
			return c.tell(turn{source: i})
		},
		pause: func() error {
			if err := c.dispatch(); err != nil {
				return err
			}
			return c.tell(turn{source: -1, pause: true})
		},
		frame: func(f *packet.Frame) error {
			packets = d.Decode(f, packets[:0])
			p.tally.packets += uint64(len(packets))
			for i := range packets {
				c.fill.add(&packets[i], len(c.work))
			}
			if len(c.fill.packets) >= jobPackets || len(c.fill.bytes) >= jobBytes {
				return c.dispatch()
			}
			return nil
		},
		look: func() { p.tally.decoder(d); p.publish() },
	})
	if err != nil {
		return nil, err
	}
	if c.fill != nil {
		c.fill.last, c.fill.now = true, p.tally.now
		err = c.dispatch()
	}
	return damaged, err
}

// finish ends the meters and the collector.
func (c *crew) finish() {
	for _, w := range c.work {
		close(w)
	}
	close(c.turns)
}

// next waits for a free job; nil if the pass ends.
func (c *crew) next() *job {
	select {
	case j := <-c.free:
		return j
	case <-c.ctx.Done():
		return nil
	}
}

func (c *crew) tell(t turn) error {
	select {
	case c.turns <- t:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// dispatch hands the filled job to all meters. They never hold more jobs than fit in their channels.
func (c *crew) dispatch() error {
	j := c.fill
	if len(j.packets) == 0 && !j.last {
		return nil
	}
	if err := c.tell(turn{source: -1, job: true, pause: j.last}); err != nil {
		return err
	}
	j.left.Store(int32(len(c.work)))
	last := j.last
	for _, w := range c.work {
		w <- j
	}
	if c.fill = nil; last {
		return nil
	}
	if c.fill = c.next(); c.fill == nil {
		return c.ctx.Err()
	}
	return nil
}

// add copies a packet into the job.
func (j *job) add(p *packet.Packet, meters int) {
	j.packets = append(j.packets, *p)
	j.owner = append(j.owner, uint8(owner(p, meters)))
	q := &j.packets[len(j.packets)-1]
	q.Payload = j.keep(p.Payload)
	q.TCPOptions = j.keep(p.TCPOptions)
}

// keep copies b. Earlier slices stay valid where bytes grows: they point to what it was.
func (j *job) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := len(j.bytes)
	j.bytes = append(j.bytes, b...)
	return j.bytes[n:len(j.bytes):len(j.bytes)]
}

// owner returns the number of the meter for the packets between two addresses. An ICMP error belongs to the flow that it
// quotes; an ICMPv6 error is a flow of its own.
func owner(p *packet.Packet, meters int) int {
	src, dst := &p.Src, &p.Dst
	if p.Quoted.Valid && !p.V6 {
		src, dst = &p.Quoted.Src, &p.Quoted.Dst
	}
	high, _ := bits.Mul64(scatter(src)+scatter(dst), uint64(meters))
	return int(high)
}

func scatter(a *packet.Addr) uint64 {
	high, low := bits.Mul64(binary.LittleEndian.Uint64(a[:])^0x9e3779b97f4a7c15, binary.LittleEndian.Uint64(a[8:])^0xbf58476d1ce4e5b9)
	return (high ^ low) * 0x94d049bb133111eb
}

// meter is the goroutine of one meter.
func (c *crew) meter(number int) {
	out := &part{}
	m := flow.New(c.pass.settings.Flow, func(event []byte) {
		if !c.pass.settings.Flows && metering.IsFlow(event) {
			return
		}
		out.bytes = append(out.bytes, event...)
		if out.ends = append(out.ends, len(out.bytes)); len(out.bytes) >= partBytes {
			out = c.hand(number, out)
		}
	})
	defer m.Release()
	for j := range c.work[number] {
		if c.ctx.Err() != nil {
			continue // the reader must not wait for us
		}
		for i := range j.packets {
			p := &j.packets[i]
			if int(j.owner[i]) == number {
				m.Packet(p)
			} else {
				m.Other(p.Time)
			}
		}
		if j.last {
			m.CloseAt(j.now)
		}
		c.pass.tally.meter(number, m)
		if j.left.Add(-1) == 0 {
			j.packets, j.owner, j.bytes = j.packets[:0], j.owner[:0], j.bytes[:0]
			c.free <- j
		}
		out.end = true
		out = c.hand(number, out)
	}
}

// hand gives a part to the collector and returns an empty one.
func (c *crew) hand(number int, full *part) *part {
	select {
	case c.parts[number] <- full:
	case <-c.ctx.Done():
		full.bytes, full.ends, full.end = full.bytes[:0], full.ends[:0], false
		return full
	}
	select {
	case empty := <-c.spare:
		return empty
	default:
		return &part{}
	}
}

// collect hands all events to sink, in order.
func (c *crew) collect(sink Sink) error {
	for t := range c.turns {
		if t.source >= 0 {
			if err := sink.Begin(t.source); err != nil {
				return err
			}
		}
		if t.job {
			for i := range c.parts {
				if err := c.events(c.parts[i], sink); err != nil {
					return err
				}
			}
		}
		if t.pause {
			if err := sink.Pause(); err != nil {
				return err
			}
		}
	}
	return nil
}

// events hands on what one meter made of one job.
func (c *crew) events(parts <-chan *part, sink Sink) error {
	for {
		var p *part
		select {
		case p = <-parts:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		from := 0
		for _, to := range p.ends {
			if err := sink.Event(p.bytes[from:to]); err != nil {
				return err
			}
			from = to
		}
		end := p.end
		p.bytes, p.ends, p.end = p.bytes[:0], p.ends[:0], false
		select {
		case c.spare <- p:
		default:
		}
		if end {
			return nil
		}
	}
}
