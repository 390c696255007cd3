package listen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

func newUnix(t *testing.T) *Server {
	t.Helper()
	s, err := Unix(engine.Params{Address: filepath.Join(parts.ShortDir(t), "s"), Options: engine.Values{"max_clients": int64(4)}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, s *Server, text string) net.Conn {
	t.Helper()
	c, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	io.WriteString(c, text)
	return c
}

// TestEndWaitsForGoroutinesThatAreLate: on a busy machine all deadlines of the end may be over before anybody has looked for
// clients, or read one.
func TestEndWaitsForGoroutinesThatAreLate(t *testing.T) {
	s := newUnix(t)
	dial(t, s, "sent")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	late, giveUp := context.WithCancel(t.Context())
	s.listener.SetDeadline(time.Unix(1, 0))
	conn, err := s.accept(ctx, late)
	if err != nil {
		t.Fatalf("a client that waits is not accepted: %v", err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Unix(1, 0))
	c := &Client{Conn: conn, Late: late}
	if got, err := io.ReadAll(c); string(got) != "sent" || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := s.accept(ctx, late); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept without clients: got %v", err)
	}
	giveUp() // what is sent now has to wait
	dial(t, s, "more")
	s.listener.SetDeadline(time.Unix(1, 0))
	if _, err := s.accept(ctx, late); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("accept when it is too late: got %v", err)
	}
}

// TestRunServesWhoConnectedBeforeItsEnd connects before Run, whose context has ended already.
func TestRunServesWhoConnectedBeforeItsEnd(t *testing.T) {
	for range 20 {
		s := newUnix(t)
		dial(t, s, "a")
		dial(t, s, "b")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got := make(chan string, 4)
		if err := s.Run(ctx, func(_ context.Context, c *Client) {
			defer c.Close()
			b, _ := io.ReadAll(c)
			got <- string(b)
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 {
			t.Fatalf("%d of 2 clients are served", len(got))
		}
		if a, b := <-got, <-got; a+b != "ab" && a+b != "ba" {
			t.Fatalf("got %q and %q", a, b)
		}
	}
}

// TestRunAfterAFaultOfAccept: the fault ends Run, and its clients, and the next Run serves again.
func TestRunAfterAFaultOfAccept(t *testing.T) {
	s := newUnix(t)
	got := make(chan string)
	serve := func(_ context.Context, c *Client) {
		defer c.Close()
		b := make([]byte, 10)
		for n, err := c.Read(b); err == nil; n, err = c.Read(b) {
			got <- string(b[:n])
		}
	}
	run := func(ctx context.Context) chan error {
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, serve) }()
		return ended
	}
	ended := run(t.Context())
	dial(t, s, "a")
	if a := <-got; a != "a" {
		t.Fatalf("got %q", a)
	}
	s.listener.SetDeadline(time.Unix(1, 0)) // accept fails
	if err := <-ended; err == nil {
		t.Error("the fault is not told")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended = run(ctx)
	dial(t, s, "b")
	if b := <-got; b != "b" {
		t.Errorf("got %q", b)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
