package httpsink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"dragonfly/engine"
)

func TestCut(t *testing.T) {
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"ééé", 3, "ééé"}, {"éééé", 3, "éé…"}, {"😀😀", 4, "😀😀"}, {"😀😀", 3, "😀…"}, {"a😀😀", 4, "a😀…"}, {"😀😀", 2, "…"}, {"", 0, ""},
	} {
		if got := Cut(tc.s, tc.n); got != tc.want {
			t.Errorf("Cut(%q, %d): got %q, want %q", tc.s, tc.n, got, tc.want)
		}
	}
	for range 10_000 {
		var b []byte
		for range rand.IntN(20) {
			b = append(b, []string{"a", "é", "😀", "\xff", "…"}[rand.IntN(5)]...)
		}
		n := 1 + rand.IntN(20)
		got := Cut(string(b), n)
		if size := len(utf16.Encode([]rune(got))); size > n || size != Len(got) || len(b) > n && !utf8.ValidString(got) && got != string(b) {
			t.Fatalf("Cut(%q, %d): got %q of %d", b, n, got, size)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 20, 18, 31, 59, 0, time.UTC)
	for text, want := range map[string]time.Duration{"2": 2 * time.Second, " 0.5 ": 500 * time.Millisecond, "Fri, 20 Nov 2026 18:32:09 GMT": 10 * time.Second,
		"Fri, 20 Nov 2026 18:31:09 GMT": 0, "": 0, "soon": 0, "-3": 0, "NaN": 0, "1e300": 24 * time.Hour, "Inf": 24 * time.Hour} {
		if got, ok := retryAfter(text, now); ok != (want > 0) || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, ok, want)
		}
	}
}

func event(t testing.TB, body string) *engine.Event {
	ev, err := engine.NewEvent(body)
	if err != nil {
		t.Fatal(err)
	}
	return &ev
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]string{
		`"2026-11-20T18:31:59.886695+0100"`: "2026-11-20T17:31:59.886695Z",
		`"2026-11-20T18:31:59.123456789Z"`:  "2026-11-20T18:31:59.123456789Z",
		`"2026-11-20T18:31:59-1130"`:        "2026-11-21T06:01:59Z",
		`"2026-11-20T18:31:59+01:00"`:       "2026-11-20T17:31:59Z",
		`"2026-11-20T18:31:59.5+0a00"`:      "",
		`"2026-13-20T18:31:59.886695+0100"`: "",
		`"2026-11-20 18:31:59"`:             "2026-11-20T18:31:59Z",
		`1607337893.205884`:                 "2020-12-07T10:44:53.205884Z",
		`1607337893`:                        "2020-12-07T10:44:53Z",
		`1.6e9`:                             "2020-09-13T12:26:40Z",
		`"yesterday"`:                       "", `null`: "", `-5`: "", `1e300`: "", `{"a":1}`: "", `"0001-01-01T00:00:00Z"`: "", `"2600-01-01T00:00:00Z"`: "", `1.x`: "",
	} {
		if !strings.HasSuffix(text, "x") {
			got, ok := Time(event(t, `{"a":{"t":`+text+`}}`), "a.t")
			if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
				t.Errorf("%s: got %v, %v, want %s", text, got, ok, want)
			}
		}
	}
}

func TestTemplates(t *testing.T) {
	ev := event(t, `{"a":{"b":"x\ny"},"n":1.50,"a.c":"dot","o":{"p":[1, 2]},"null":null}`)
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]string{
		"plain": "plain", "{a.b}-{n}": "x\ny-1.50", "{a.c} {o} {null} {none}": `dot {"p":[1, 2]} - -`, "{{x}} %Y": "{x} %Y", "": "",
	} {
		tp, err := NewTemplate(text, false, "-")
		if err != nil || tp.At(ev, at) != want {
			t.Errorf("%q: got %q, %v, want %q", text, tp.At(ev, at), err, want)
		}
	}
	tp, err := NewTemplate("%Y.%m.%d-%H%M%S-%j-%y-%G.%V-%F-%%-{n}", true, "")
	if got := tp.At(ev, at); err != nil || got != "2027.01.02-030405-002-27-2026.53-2027-01-02-%-1.50" {
		t.Error(got, err)
	}
	for _, text := range []string{"{", "{}", "{a", "{a{b}", "%Q", "100%"} {
		if _, err := NewTemplate(text, true, ""); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// TestBulkKeepsItsPromises plays a server of moods: each event is delivered once, or refused once if it is wrong, whatever happens.
func TestBulkKeepsItsPromises(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		wrong := func(body string) bool { return strings.HasSuffix(body, "7}") }
		got := map[string]int{}
		b := Bulk{Size: 1 + random.IntN(40), Bytes: int64(random.IntN(300))}
		b.Skip = func(ev *engine.Event) bool { return strings.HasSuffix(ev.Body, "5}") }
		b.Send = func(_ context.Context, events []engine.Event) (int, []error, error) {
			if len(events) == 0 || len(events) > b.Size {
				t.Fatalf("%d events", len(events))
			}
			n := 1 + random.IntN(len(events))
			each := make([]error, n)
			switch mood := random.IntN(4); mood {
			case 0:
				return n, nil, errors.New("down")
			case 1:
				for i := range each {
					switch {
					case wrong(events[i].Body):
						each[i] = &engine.RejectError{Err: errors.New("wrong")}
					case random.IntN(3) == 0:
						each[i] = []error{ErrAgain, errors.New("busy")}[random.IntN(2)]
					default:
						got[events[i].Body]++
					}
				}
				return n, each, nil
			default:
				for i := range each {
					if wrong(events[i].Body) {
						return n, nil, &engine.RejectError{Err: errors.New("one of them is wrong")}
					}
				}
				for i := range each {
					got[events[i].Body]++
				}
				return n, nil, nil
			}
		}
		var events []engine.Event
		for i := range 200 {
			events = append(events, *event(t, fmt.Sprintf(`{"n":%d}`, i%150))) // some are equal
		}
		delivered, refused, rounds := 0, 0, 0
		for rest := events; len(rest) > 0; rounds++ {
			n, err := b.Write(t.Context(), rest[:min(len(rest), 1+random.IntN(64))])
			delivered += n
			rest = rest[n:]
			var rejected *engine.RejectError
			if errors.As(err, &rejected) {
				if !wrong(rest[0].Body) {
					t.Fatalf("seed %d: %s is refused", seed, rest[0].Body)
				}
				refused++
				rest = rest[1:]
			} else if err == nil && n == 0 || rounds > 10_000 {
				t.Fatalf("seed %d: no progress", seed)
			}
		}
		if delivered != 180 || refused != 20 {
			t.Fatalf("seed %d: %d delivered, %d refused", seed, delivered, refused)
		}
		for i, ev := range events {
			want := 1
			if i%150 < 50 {
				want = 2
			}
			if wrong(ev.Body) || strings.HasSuffix(ev.Body, "5}") {
				want = 0
			}
			if got[ev.Body] != want {
				t.Fatalf("seed %d: %s came %d times, want %d", seed, ev.Body, got[ev.Body], want)
			}
		}
	}
}
