package metering

import (
	"bytes"
	"hash/crc32"
	"unsafe"

	"dragonfly/engine"
)

const (
	chunkLen = 64 << 10 // bytes that events are copied into
	batchLen = 64       // events of a batch
)

// Emitter collects the events of one meter into batches of records. It belongs to the goroutine of its meter:
//
//	out := metering.NewEmitter(settings.Flows, send)
//	m := flow.New(settings.Flow, out.Event)
//	... m.Packet(&p) ...
//	err := out.Flush() // when the source pauses, and at its end
type Emitter struct {
	// Offsets numbers the records from 0 on, for sources whose events come in the same order when they are metered again.
	// Without it their offset is -1.
	Offsets bool

	flows   bool
	send    func(records []engine.Record) error
	records []engine.Record
	chunk   []byte // the part of a chunk that is free
	skip    int64
	count   int64
	sum     uint32
	err     error
}

// NewEmitter returns an emitter that hands every 64 records, and at each Flush what there is, to send, which makes a batch of
// them and may not keep the slice. After an error of send the records are kept for the next Flush. flows says that flow
// events are wanted.
func NewEmitter(flows bool, send func(records []engine.Record) error) *Emitter {
	return &Emitter{flows: flows, send: send, records: make([]engine.Record, 0, batchLen)}
}

// Event is the function for flow.New. It copies the event. An error of send is kept for Flush and Err; until Flush has
// succeeded events are only collected, so the caller stops metering soon.
func (e *Emitter) Event(event []byte) {
	if !e.flows && IsFlow(event) {
		return
	}
	e.sum = crc32.Update(e.sum, castagnoli, event)
	e.count++
	if e.count <= e.skip {
		return
	}
	offset := int64(-1)
	if e.Offsets {
		offset = e.count - 1
	}
	e.records = append(e.records, engine.Record{Body: e.keep(event), Offset: offset})
	if len(e.records) >= batchLen && e.err == nil {
		e.Flush()
	}
}

// Flush sends what is collected and returns the error of send, if it failed now or before.
func (e *Emitter) Flush() error {
	if len(e.records) == 0 {
		e.err = nil
		return nil
	}
	if e.err = e.send(e.records); e.err == nil {
		clear(e.records)
		e.records = e.records[:0]
	}
	return e.err
}

// Err returns the error of the last send; nil if it succeeded.
func (e *Emitter) Err() error { return e.err }

// Skip says that the next n events were sent before: they are counted only.
func (e *Emitter) Skip(n int64) { e.skip = e.count + n }

// Count returns how many events there were, with those that were skipped; flow events that are not wanted are none.
func (e *Emitter) Count() int64 { return e.count }

// Sum returns a checksum of all events that were counted.
func (e *Emitter) Sum() uint32 { return e.sum }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// keep returns the event in a chunk that is never written again.
func (e *Emitter) keep(event []byte) string {
	if len(event) == 0 {
		return ""
	}
	if len(e.chunk) < len(event) {
		e.chunk = engine.NewChunk(max(chunkLen, len(event)))
	}
	n := copy(e.chunk, event)
	body := unsafe.String(&e.chunk[0], n)
	e.chunk = e.chunk[n:]
	return body
}

var flowType = []byte(`"event_type":"flow"`)

// IsFlow reports whether an event of a meter is a flow event. It looks at the head: before event_type stand only the time, ids
// and the interface.
func IsFlow(event []byte) bool { return bytes.Contains(event[:min(len(event), 256)], flowType) }
