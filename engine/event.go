package engine

import (
	"fmt"

	"dragonfly/engine/lazyjson"
)

// Event is one JSON value on its way through the pipeline, usually an object in the shape of Suricata's EVE.
// Its bytes never change: a script that writes to an event makes a new Body when it emits it. Events are small values;
// batches of them are copied from queue to queue.
type Event struct {
	Body  string           // one JSON value without a line end
	Index []lazyjson.Field // top-level fields of Body, made when it was validated; nil if Body is not an object or not yet validated

	rec  *record // the record that it came from; nil for events of a timer
	hops uint8   // stages passed
}

// NewEvent returns an event that belongs to no record: what a test or a tool feeds to a Script.
// Body must be valid JSON; objects are indexed.
func NewEvent(body string) (Event, error) {
	index, err := lazyjson.IndexObject(nil, body)
	if err == lazyjson.ErrNotObject {
		return Event{Body: body}, lazyjson.Validate(body)
	}
	return Event{Body: body, Index: index}, err
}

// Origin says where the event came from, for messages to the operator: "eve file:///var/log/suricata/eve.json offset 1234".
func (ev *Event) Origin() string {
	if ev.rec == nil {
		return "timer"
	}
	return ev.rec.origin()
}

func (rec *record) origin() string {
	b := rec.batch
	if b.letters != nil {
		return b.letters[rec.offset].origin
	}
	if rec.offset < 0 {
		return fmt.Sprintf("%s %s", b.books.tag, b.origin)
	}
	return fmt.Sprintf("%s %s offset %d", b.books.tag, b.origin, rec.offset)
}

// replayOf returns the id of the dead letter that the record is, "" if it is none.
func (rec *record) replayOf() string {
	if rec.batch.letters == nil {
		return ""
	}
	return rec.batch.letters[rec.offset].id
}
