// Package stdout writes events to standard output: stdout://.
package stdout

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"

	"dragonfly/engine"
)

// Kind is stdout://.
var Kind = engine.OutputKind{
	Doc:     "`stdout://`: writes to standard output, one JSON document a line.",
	Options: []engine.Option{{Key: "pretty", Type: engine.Bool, Doc: "Indent, for reading by eye."}},
	New:     func(p engine.Params) (engine.Output, error) { return New(p, os.Stdout), nil },
}

type output struct {
	w      io.Writer
	pretty bool
	buf    bytes.Buffer
}

// New returns the output for another writer than os.Stdout.
func New(p engine.Params, w io.Writer) engine.Output {
	return &output{w: w, pretty: p.Options.Bool("pretty")}
}

// Open implements engine.Output.
func (o *output) Open(context.Context) error { return nil }

// Close implements engine.Output.
func (o *output) Close() error { return nil }

// Write implements engine.Output.
func (o *output) Write(_ context.Context, batch []engine.Event) (int, error) {
	o.buf.Reset()
	ends := make([]int, len(batch))
	for i := range batch {
		if !o.pretty || json.Indent(&o.buf, []byte(batch[i].Body), "", "  ") != nil {
			o.buf.WriteString(batch[i].Body)
		}
		o.buf.WriteByte('\n')
		ends[i] = o.buf.Len()
	}
	n, err := o.w.Write(o.buf.Bytes())
	if err == nil {
		return len(batch), nil
	}
	done := 0
	for done < len(ends) && ends[done] <= n {
		done++
	}
	return done, err
}

// Paths implements engine.PathUser: it uses none.
func (*output) Paths() []engine.PathUse { return nil }
