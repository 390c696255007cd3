package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// streamSink reads whole messages from connections, each of which it ends in good order: it lets the other side know, and reads
// what that had written.
type streamSink struct {
	tally
	t         *testing.T
	network   string
	address   string
	next      func(r *bufio.Reader) (string, error) // reads a message
	closeSide func(c net.Conn)                      // lets the other side know that no more is wanted
	wrap      func(l net.Listener) net.Listener     // nil: as it is
	l         net.Listener
	wg        sync.WaitGroup
	mu        sync.Mutex
	conns     map[net.Conn]bool
	ending    bool
	still     chan struct{} // while it is not closed nothing is read
}

// listenAgain listens on an address that may be taken for a moment: by a connection that the kernel gave its port.
func listenAgain(t *testing.T, network, address string) net.Listener {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		l, err := net.Listen(network, address)
		if err == nil {
			return l
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s *streamSink) start() {
	s.t.Helper()
	l := listenAgain(s.t, s.network, s.address)
	if s.wrap != nil {
		l = s.wrap(l)
	}
	s.l, s.address, s.conns, s.ending = l, l.Addr().String(), map[net.Conn]bool{}, false
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			if s.ending {
				s.closeSide(c)
			}
			s.mu.Unlock()
			s.wg.Go(func() { s.read(c) })
		}
	})
}

func (s *streamSink) read(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		s.mu.Lock()
		still, next := s.still, s.next
		s.mu.Unlock()
		if still != nil {
			<-still
		}
		text, err := next(r)
		if err != nil { // a message that was cut comes again
			return
		}
		s.add(idsIn(text)...)
	}
}

func (s *streamSink) stop() {
	s.l.Close()
	s.mu.Lock()
	s.ending = true
	for c := range s.conns {
		s.closeSide(c)
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// line reads a line.
func line(r *bufio.Reader) (string, error) { return r.ReadString('\n') }

// octets reads a message of syslog with octet counting.
func octets(r *bufio.Reader) (string, error) {
	var n int
	if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}

func newStreamSink(t *testing.T, network, address string, next func(r *bufio.Reader) (string, error)) *streamSink {
	s := &streamSink{t: t, network: network, address: address, next: next,
		closeSide: func(c net.Conn) {
			if unix, ok := c.(*net.UnixConn); ok {
				unix.CloseRead()
				return
			}
			c.(*net.TCPConn).CloseWrite()
		}}
	s.start()
	t.Cleanup(func() {
		s.l.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.Close()
		}
	})
	return s
}

func unixAway(t *testing.T) *outageSink {
	s := newStreamSink(t, "unix", filepath.Join(socketDir(t), "s"), line)
	return &outageSink{row: `{tag = "out", uri = "unix://` + s.address + `"}`, stop: s.stop, start: s.start, seen: s.seen}
}

func unixNotRead(t *testing.T) *outageSink {
	s := newStreamSink(t, "unix", filepath.Join(socketDir(t), "s"), line)
	release := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.still != nil {
			close(s.still)
			s.still = nil
		}
	}
	t.Cleanup(release)
	return &outageSink{row: `{tag = "out", uri = "unix://` + s.address + `", write_timeout = 60}`, silent: true, start: release, seen: s.seen,
		stop: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.still = make(chan struct{})
		}}
}

// syslogAway is a server that takes octet counting.
func syslogAway(t *testing.T) *outageSink {
	s := newStreamSink(t, "tcp", "127.0.0.1:"+freePort(t), octets)
	return &outageSink{row: `{tag = "out", uri = "syslog+tcp://` + s.address + `"}`, stop: s.stop, start: s.start, seen: s.seen}
}

// gramAway is a datagram socket, that reads what it has when it is closed.
func gramAway(t *testing.T, uri string) *outageSink {
	var got tally
	path := filepath.Join(socketDir(t), "s")
	var conn *net.UnixConn
	var wg sync.WaitGroup
	start := func() {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		conn = c
		wg.Go(func() {
			for b := make([]byte, 1<<16); ; {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				got.add(idsIn(string(b[:n]))...)
			}
		})
	}
	stop := func() {
		os.Remove(path)
		conn.CloseRead() // nothing more comes in
		conn.SetReadDeadline(time.Now())
		wg.Wait()
		conn.SetReadDeadline(time.Time{})
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		raw.Read(func(fd uintptr) bool { // what has come before
			for {
				n, _, err := syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT)
				if err != nil {
					return true
				}
				got.add(idsIn(string(b[:n]))...)
			}
		})
		conn.Close()
	}
	start()
	t.Cleanup(func() { conn.Close() })
	return &outageSink{row: `{tag = "out", uri = "` + strings.Replace(uri, "SOCKET", path, 1) + `}`, seen: got.seen, start: start, stop: stop}
}
