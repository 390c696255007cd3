package crash

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// receiver is the other end of the unix stream sink. Between open and close it reads one connection after the other.
type receiver struct {
	path string
	to   *delivery
	pace atomic.Int32 // paceFull, paceSlow, paceNone
	cut  atomic.Int64 // unfinished lines at the end of connections: they come again

	mu       sync.Mutex
	listener *net.UnixListener // nil while closed
	conns    []*net.UnixConn   // accepted since open
	reading  sync.WaitGroup
}

const (
	paceFull = iota
	paceSlow // some 100 kB a second
	paceNone
)

func (r *receiver) open() error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	r.mu.Lock()
	r.listener, r.conns = l, nil
	r.mu.Unlock()
	queue := make(chan *net.UnixConn, 1024) // written and closed by accept
	r.reading.Go(func() { r.accept(l, queue) })
	r.reading.Go(func() {
		for conn := range queue {
			r.read(conn)
			conn.Close()
		}
	})
	return nil
}

func (r *receiver) accept(l *net.UnixListener, queue chan<- *net.UnixConn) {
	defer close(queue)
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.listener == nil { // closing
			conn.CloseRead()
		}
		r.conns = append(r.conns, conn)
		r.mu.Unlock()
		queue <- conn
	}
}

// read takes lines until the other side, or CloseRead on ours, ends the stream: what the kernel holds is read then too.
func (r *receiver) read(conn *net.UnixConn) {
	buf := make([]byte, 0, 64<<10)
	for {
		room := 32 << 10
		for r.pace.Load() == paceNone {
			pause(5 * time.Millisecond)
		}
		if r.pace.Load() == paceSlow {
			room = 1 << 10
			pause(10 * time.Millisecond)
		}
		if cap(buf)-len(buf) < room {
			buf = append(make([]byte, 0, 2*(len(buf)+room)), buf...)
		}
		n, err := conn.Read(buf[len(buf) : len(buf)+room])
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			line, after, ok := bytes.Cut(rest, []byte{'\n'})
			if !ok {
				break
			}
			r.to.take(line)
			rest = after
		}
		buf = append(buf[:0], rest...)
		if err != nil {
			if len(buf) > 0 {
				r.cut.Add(1)
			}
			return
		}
	}
}

// lastAccept is how long close looks for connections that were made before it took the socket away.
const lastAccept = 50 * time.Millisecond

// close takes the socket away and ends the connections so that nothing is lost which the sender believes to be
// delivered: its next write fails, and what it wrote before is read.
func (r *receiver) close() {
	r.pace.Store(paceFull)
	r.mu.Lock()
	l, conns := r.listener, r.conns
	r.listener = nil
	r.mu.Unlock()
	if l == nil {
		return
	}
	os.Remove(r.path)
	for _, conn := range conns {
		conn.CloseRead() // of one that has ended: no matter
	}
	l.SetDeadline(time.Now().Add(lastAccept))
	r.reading.Wait()
	l.Close()
}
