package dummy

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine"
)

func newInput(t *testing.T, values engine.Values) engine.Input {
	t.Helper()
	in, err := New(engine.Params{Options: values})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestDummyRepeats(t *testing.T) {
	for _, c := range []struct {
		data   string
		repeat int64
		want   string
	}{
		{`{"a":1}`, 1, `[{"a":1}@0]`},
		{`[{"a":1},{"b":[2]}]`, 2, `[{"a":1}@0 {"b":[2]}@1 {"a":1}@2 {"b":[2]}@3]`},
		{`{"a":1}`, 0, `[]`},
	} {
		in := newInput(t, engine.Values{"data": c.data, "repeat": c.repeat})
		if !in.(engine.Finite).Finite() {
			t.Errorf("%+v is not finite", c)
		}
		got := []string{}
		err := in.Run(t.Context(), func(_ context.Context, b engine.Batch) error {
			for _, rec := range b.Records {
				got = append(got, fmt.Sprintf("%s@%d", rec.Body, rec.Offset))
			}
			return nil
		})
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("got %v, %v, want %s", got, err, c.want)
		}
	}
}

func TestDummyPausesBetweenRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newInput(t, engine.Values{"data": `{}`, "repeat": int64(4), "interval": time.Minute})
		begun := time.Now()
		if err := in.Run(t.Context(), func(context.Context, engine.Batch) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took != 3*time.Minute {
			t.Errorf("took %v, want 3m", took)
		}
	})
}

func TestDummyGoesOnUntilItsContextEnds(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			in := newInput(t, engine.Values{"data": `{}`, "repeat": int64(-1), "interval": interval})
			if in.(engine.Finite).Finite() {
				t.Error("is finite")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
			defer cancel()
			n := 0
			err := in.Run(ctx, func(ctx context.Context, _ engine.Batch) error {
				if n++; n == 100 {
					cancel()
				}
				return ctx.Err()
			})
			if err != nil || n != 100 {
				t.Errorf("got %d rounds, %v", n, err)
			}
		})
	}
}

func TestNewRefusesBadData(t *testing.T) {
	for _, data := range []string{"", "[]", "5", `"text"`, `[{"a":1},5]`, "null"} {
		_, err := New(engine.Params{Options: engine.Values{"data": data}})
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != "data" {
			t.Errorf("%q: got %v", data, err)
		}
	}
}
