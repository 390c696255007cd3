package wire

import (
	"net"
	"sync"
	"testing"
)

func TestConnsBreak(t *testing.T) {
	var conns Conns
	conns.Break()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 2 { // what is added behind a Break is known too
		for range 8 {
			one, other := net.Pipe()
			defer other.Close()
			conn := conns.Add(one)
			wg.Go(func() {
				if _, err := conn.Read(make([]byte, 1)); err == nil {
					t.Error("read something")
				}
				conn.Close()
			})
		}
		conns.Break()
	}
	wg.Wait()
	one, other := net.Pipe()
	defer other.Close()
	if conn := conns.Add(one); conn.Close() != nil || len(conns.open) != 0 {
		t.Error("a closed connection is still known")
	}
}
