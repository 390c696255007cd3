package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine"
)

func records(bodies ...string) (list []engine.Record) {
	for _, b := range bodies {
		list = append(list, engine.Record{Body: b})
	}
	return list
}

func TestQueueBoundsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(100)
		ctx := t.Context()
		big := records(strings.Repeat("x", 1000)) // larger than the queue: alone it passes
		if err := q.put(ctx, big, nil); err != nil {
			t.Fatal(err)
		}
		var waited atomic.Int32
		var put atomic.Bool
		go func() {
			q.put(ctx, records("a", "b"), func() { waited.Add(1) })
			put.Store(true)
		}()
		time.Sleep(3500 * time.Millisecond)
		if synctest.Wait(); put.Load() || waited.Load() != 3 {
			t.Errorf("put %v, waited %d times; want it to wait, with a call a second", put.Load(), waited.Load())
		}
		late, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := q.put(late, records("c"), func() {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the error of ctx", err)
		}
		if got := q.first(ctx); len(got) != 1 || len(got[0].Body) != 1000 {
			t.Errorf("got %d records", len(got))
		}
		q.drop()
		synctest.Wait()
		if got := q.first(ctx); !put.Load() || fmt.Sprint(got) != fmt.Sprint(records("a", "b")) || q.left() != 2 {
			t.Errorf("got %v", got)
		}
		q.drop()
		q.close()
		if got := q.first(ctx); got != nil || q.bytes != 0 {
			t.Errorf("got %v, %d bytes", got, q.bytes)
		}
	})
}

func TestQueueKeepsACopy(t *testing.T) {
	q := newQueue(100)
	list := records("a")
	q.put(t.Context(), list, nil)
	list[0].Body = "changed"
	if got := q.first(t.Context()); got[0].Body != "a" {
		t.Errorf("got %q", got[0].Body)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q.drop()
	if q.first(ctx) != nil {
		t.Error("want nothing when ctx is done")
	}
}
