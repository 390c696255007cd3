package rig

import (
	"fmt"
	"testing"

	"dragonfly/engine"
)

// NewOutput makes an output that is closed with the test.
func NewOutput(t testing.TB, kind engine.OutputKind, uri string, set engine.Values) (engine.Output, *Row) {
	t.Helper()
	r := &Row{}
	out, err := kind.New(r.Params(kind.Options, uri, set))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out, r
}

// OpenOutput makes an output and opens it.
func OpenOutput(t testing.TB, kind engine.OutputKind, uri string, set engine.Values) (engine.Output, *Row) {
	t.Helper()
	out, r := NewOutput(t, kind, uri, set)
	if err := out.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out, r
}

// Write wants an output to take a batch as a whole.
func Write(t testing.TB, out engine.Output, batch ...engine.Event) {
	t.Helper()
	if n, err := out.Write(t.Context(), batch); err != nil || n != len(batch) {
		t.Fatalf("got %d of %d, %v", n, len(batch), err)
	}
}

// Event makes an event, not indexed, whatever its text is.
func Event(format string, args ...any) engine.Event {
	return engine.Event{Body: fmt.Sprintf(format, args...)}
}

// Events makes events of texts that are JSON.
func Events(t testing.TB, bodies ...string) (list []engine.Event) {
	t.Helper()
	for _, body := range bodies {
		ev, err := engine.NewEvent(body)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, ev)
	}
	return list
}
