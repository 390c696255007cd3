package stdin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"dragonfly/engine"
)

var params = engine.Params{Options: engine.Values{"max_line": int64(1 << 20)}}

// keep returns an EmitFunc that appends to got.
func keep(got *[]string) engine.EmitFunc {
	return func(ctx context.Context, b engine.Batch) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, rec := range b.Records {
			*got = append(*got, rec.Body)
		}
		return nil
	}
}

func TestStdinReadsToTheEnd(t *testing.T) {
	var got []string
	if err := New(params, strings.NewReader("one\n\ntwo\nlast")).Run(t.Context(), keep(&got)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[one two last]" {
		t.Errorf("got %q", got)
	}
}

func TestStdinReportsAFault(t *testing.T) {
	r, w := io.Pipe()
	w.CloseWithError(io.ErrUnexpectedEOF)
	if err := New(params, r).Run(t.Context(), keep(new([]string))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

// A reload ends Run and calls it again: nothing of the stream may be lost on the way.
func TestStdinLosesNothingBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		in := New(params, r)
		var got []string
		for i := range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- in.Run(ctx, keep(&got)) }()
			fmt.Fprintf(w, "line %d\nhalf ", 2*i)
			synctest.Wait()
			cancel() // while the reader waits within a line
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(w, "%d\n", 2*i+1)
			synctest.Wait()
		}
		go w.Close()
		if err := in.Run(t.Context(), keep(&got)); err != nil {
			t.Fatal(err)
		}
		if len(got) != 40 {
			t.Fatalf("got %d lines: %q", len(got), got)
		}
		for i := range 20 {
			if got[2*i] != fmt.Sprintf("line %d", 2*i) || got[2*i+1] != fmt.Sprintf("half %d", 2*i+1) {
				t.Errorf("got %q, %q in round %d", got[2*i], got[2*i+1], i)
			}
		}
	})
}

func TestStdinRepeatsWhatTheEngineDidNotTake(t *testing.T) {
	in := New(params, strings.NewReader("one\n"))
	refuse := func(context.Context, engine.Batch) error { return context.Canceled }
	if err := in.Run(t.Context(), refuse); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := in.Run(t.Context(), keep(&got)); err != nil || fmt.Sprint(got) != "[one]" {
		t.Errorf("got %q, %v", got, err)
	}
}
