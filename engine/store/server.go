package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers clients of the Redis protocol (RESP2), so that redis-cli can look into the store.
type Server struct {
	s        *Store
	listener net.Listener
	path     string // of a unix socket
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	closed   bool
	patience time.Duration // with a client that does not read; then it is cut off
	wg       sync.WaitGroup
}

// Limits of a client.
const (
	maxArgs    = 1 << 20
	maxClients = 1000
	// pushBacklog is how many messages may wait for a subscriber before it is cut off.
	pushBacklog = 4096
	// pushBytes is how many bytes they may have.
	pushBytes = 32 << 20
	// writePiece is what is written under one time limit.
	writePiece = 1 << 20
)

// Listen makes s answer at address: the path of a unix socket ("/run/dragonfly/store.sock", only for its owner), or a loopback
// address with a port ("127.0.0.1:6380"). There is no password, so other addresses are refused.
func (s *Store) Listen(address string) (*Server, error) {
	if strings.HasPrefix(address, "/") {
		if info, err := os.Lstat(address); err == nil {
			if info.Mode()&os.ModeSocket == 0 {
				return nil, fmt.Errorf("store_listen: %s exists and is not a socket", address)
			}
			if c, err := net.DialTimeout("unix", address, time.Second); err == nil {
				c.Close()
				return nil, fmt.Errorf("store_listen: somebody listens at %s already", address)
			}
			os.Remove(address)
		}
		l, err := net.Listen("unix", address)
		if err != nil {
			return nil, fmt.Errorf("store_listen: %w", err)
		}
		if err := os.Chmod(address, 0o600); err != nil {
			l.Close()
			return nil, fmt.Errorf("store_listen: %w", err)
		}
		return s.serve(l, address), nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("store_listen: %q is neither a path nor host:port", address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("store_listen: %q is not a loopback address; the store has no password", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("store_listen: %w", err)
	}
	return s.serve(l, ""), nil
}

func (s *Store) serve(l net.Listener, path string) *Server {
	srv := &Server{s: s, listener: l, path: path, conns: map[net.Conn]struct{}{}, patience: time.Minute}
	srv.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				time.Sleep(10 * time.Millisecond) // out of descriptors
				continue
			}
			srv.mu.Lock()
			full := srv.closed || len(srv.conns) >= maxClients
			if !full {
				srv.conns[c] = struct{}{}
				w := &clientWriter{c: c, messages: make(chan Reply, pushBacklog), patience: srv.patience}
				srv.wg.Go(func() { srv.client(c, w) })
			}
			srv.mu.Unlock()
			if full {
				io.WriteString(c, "-ERR max number of clients reached\r\n")
				c.Close()
			}
		}
	})
	return srv
}

// Addr is where the server listens.
func (srv *Server) Addr() net.Addr { return srv.listener.Addr() }

// Close ends the server and its clients.
func (srv *Server) Close() error {
	srv.mu.Lock()
	srv.closed = true
	err := srv.listener.Close()
	for c := range srv.conns {
		c.Close()
	}
	srv.mu.Unlock()
	srv.wg.Wait()
	return err
}

// client answers one client until it goes or talks nonsense.
func (srv *Server) client(c net.Conn, w *clientWriter) {
	conn := srv.s.Conn()
	quit := make(chan struct{})
	defer close(quit)
	srv.wg.Go(func() {
		for {
			select {
			case m := <-w.messages:
				if w.send(m, true) != nil {
					c.Close()
				}
				w.waiting.Add(-size(m))
			case <-quit:
				return
			}
		}
	})
	conn.subs = &subscriber{names: map[string]bool{}, push: w.push}
	defer func() {
		conn.leave()
		c.Close()
		srv.mu.Lock()
		delete(srv.conns, c)
		srv.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, 32<<10)
	for {
		args, err := readCommand(r)
		if err != nil {
			var bad protocolError
			if errors.As(err, &bad) {
				w.send(Err("ERR Protocol error: "+string(bad)), true)
			}
			return
		}
		if len(args) == 0 {
			continue
		}
		reply := conn.Do(args)
		if err := w.send(reply, r.Buffered() == 0); err != nil || is(args[0], "quit") {
			return
		}
	}
}

// clientWriter writes replies and published messages to a client.
type clientWriter struct {
	c        net.Conn
	messages chan Reply   // published to this client
	waiting  atomic.Int64 // bytes in messages
	patience time.Duration
	mu       sync.Mutex
	b        []byte
}

// send appends a reply and, with flush, writes all that is there.
func (w *clientWriter) send(r Reply, flush bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = AppendReply(w.b, r)
	if !flush && len(w.b) < 64<<10 {
		return nil
	}
	var err error
	for b := w.b; len(b) > 0 && err == nil; {
		piece := b[:min(len(b), writePiece)]
		b = b[len(piece):]
		w.c.SetWriteDeadline(time.Now().Add(w.patience))
		_, err = w.c.Write(piece)
	}
	if w.b = w.b[:0]; cap(w.b) > 1<<20 {
		w.b = nil
	}
	return err
}

// push sends a message without waiting: a client that does not keep up is cut off.
func (w *clientWriter) push(r Reply) {
	if w.waiting.Add(size(r)) > pushBytes {
		w.c.Close()
		return
	}
	select {
	case w.messages <- r:
	default:
		w.c.Close()
	}
}

// size returns the bytes of a message.
func size(r Reply) int64 {
	n := int64(len(r.Str))
	for _, e := range r.Elems {
		n += int64(len(e.Str))
	}
	return n
}

type protocolError string

func (e protocolError) Error() string { return string(e) }

// readCommand reads an array of bulk strings, or a line of words.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r, 64<<10)
	if err != nil || line == "" {
		return nil, err
	}
	if line[0] != '*' {
		return splitLine(line)
	}
	n, good := parseInt(line[1:])
	if !good || n > maxArgs {
		return nil, protocolError("invalid multibulk length")
	}
	args := make([]string, 0, min(max(n, 0), 64))
	total := int64(0)
	for range n {
		line, err := readLine(r, 64<<10)
		if err != nil {
			return nil, err
		}
		if line == "" || line[0] != '$' {
			return nil, protocolError("expected '$', got '" + clip(line, 1) + "'")
		}
		size, good := parseInt(line[1:])
		if total += size; !good || size < 0 || size > maxString || total > maxString {
			return nil, protocolError("invalid bulk length")
		}
		var b strings.Builder
		if _, err := io.CopyN(&b, r, size); err != nil {
			return nil, err
		}
		if end, err := readLine(r, 2); err != nil || end != "" {
			return nil, errors.Join(err, protocolError("a bulk string without its end"))
		}
		args = append(args, b.String())
	}
	return args, nil
}

// readLine reads up to CRLF or LF.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		b = append(b, part...)
		if err == nil {
			return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", err
		}
		if len(b) > limit {
			return "", protocolError("too big inline request")
		}
	}
}

// splitLine splits a line of words, which may be in "..." with \x escapes or in '...'.
func splitLine(line string) ([]string, error) {
	var args []string
	for {
		line = strings.TrimLeft(line, " \t\r\n\v\f")
		if line == "" {
			return args, nil
		}
		var b []byte
		i := 0
		switch q := line[0]; q {
		case '"', '\'':
			closed := false
			for i = 1; i < len(line); i++ {
				c := line[i]
				if c == q {
					closed = true
					break
				}
				if c == '\\' && i+1 < len(line) && (q == '"' || line[i+1] == '\'') {
					i++
					switch c = line[i]; {
					case q == '\'':
					case c == 'x' && i+2 < len(line):
						if n, err := strconv.ParseUint(line[i+1:i+3], 16, 8); err == nil {
							c = byte(n)
							i += 2
						}
					default:
						if k := strings.IndexByte("nrtba", c); k >= 0 {
							c = "\n\r\t\b\a"[k]
						}
					}
				}
				b = append(b, c)
			}
			if i++; !closed || (i < len(line) && !strings.ContainsRune(" \t\r\n", rune(line[i]))) {
				return nil, protocolError("unbalanced quotes in request")
			}
		default:
			for i < len(line) && !strings.ContainsRune(" \t\r\n", rune(line[i])) {
				i++
			}
			b = []byte(line[:i])
		}
		args = append(args, string(b))
		line = line[i:]
	}
}

// AppendReply appends r in RESP2.
func AppendReply(b []byte, r Reply) []byte {
	switch r.Kind {
	case Nil:
		return append(b, "$-1\r\n"...)
	case Status:
		b = append(append(b, '+'), r.Str...)
	case Error:
		b = append(append(b, '-'), r.Str...)
	case Int:
		b = strconv.AppendInt(append(b, ':'), r.Int, 10)
	case Bulk:
		b = append(strconv.AppendInt(append(b, '$'), int64(len(r.Str)), 10), "\r\n"...)
		b = append(b, r.Str...)
	case Array:
		b = append(strconv.AppendInt(append(b, '*'), int64(len(r.Elems)), 10), "\r\n"...)
		for _, e := range r.Elems {
			b = AppendReply(b, e)
		}
		return b
	case several:
		for _, e := range r.Elems {
			b = AppendReply(b, e)
		}
		return b
	}
	return append(b, "\r\n"...)
}
