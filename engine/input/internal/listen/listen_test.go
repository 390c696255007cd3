package listen

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

// TestClientsAreKeptAlive: a client whose machine has gone must not hold its place for ever.
func TestClientsAreKeptAlive(t *testing.T) {
	s, err := TCP(engine.Params{Address: "127.0.0.1:0", Options: engine.Values{"max_clients": int64(1)}, Log: slog.New(slog.DiscardHandler)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	options := make(chan [3]int, 1)
	go func() {
		ended <- s.Run(ctx, func(_ context.Context, c *Client) {
			defer c.Close()
			raw, _ := c.Conn.(*net.TCPConn).SyscallConn()
			raw.Control(func(fd uintptr) {
				on, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				every, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
				times, _ := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPCNT)
				options <- [3]int{on, every, times}
			})
		})
	}()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.ReadAll(conn)
	if got := <-options; got[0] == 0 || got[1]*got[2] > 180 {
		t.Errorf("got %v: want keepalive, 180 s at most", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
