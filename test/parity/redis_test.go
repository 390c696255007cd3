package parity

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"dragonfly/test/parts"
)

// kind is the type of a reply.
type kind uint8

const (
	null kind = iota // RESP2 has two of them, "$-1" and "*-1"
	status
	failure
	integer
	bulk
	array
)

// reply is an answer of either side.
type reply struct {
	kind  kind
	int   int64
	str   string // of status, failure, bulk
	elems []reply
}

// String prints a reply as redis-cli does, on one line.
func (r reply) String() string {
	switch r.kind {
	case null:
		return "(nil)"
	case status:
		return r.str
	case failure:
		return "(error) " + strconv.Quote(r.str)
	case integer:
		return "(integer) " + strconv.FormatInt(r.int, 10)
	case bulk:
		return quote(r.str)
	}
	parts := make([]string, len(r.elems))
	for i, e := range r.elems {
		parts[i] = e.String()
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// quote is strconv.Quote, shortened.
func quote(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q... (%d bytes)", s[:60], len(s))
	}
	return strconv.Quote(s)
}

// client speaks RESP2 with a Redis server.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
}

func dial(socket string) (*client, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &client{conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)}, nil
}

// do sends commands in one write and reads their replies; 20 s at most.
func (c *client) do(commands ...[]string) ([]reply, error) {
	if err := c.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	for _, args := range commands {
		fmt.Fprintf(c.w, "*%d\r\n", len(args))
		for _, a := range args {
			c.w.WriteString("$" + strconv.Itoa(len(a)) + "\r\n")
			c.w.WriteString(a)
			c.w.WriteString("\r\n")
		}
	}
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	replies := make([]reply, len(commands))
	for i := range replies {
		var err error
		if replies[i], err = c.read(); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

func (c *client) read() (reply, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return reply{}, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return reply{}, fmt.Errorf("bad RESP line %q", line)
	}
	text := line[1 : len(line)-2]
	switch line[0] {
	case '+':
		return reply{kind: status, str: text}, nil
	case '-':
		return reply{kind: failure, str: text}, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return reply{}, fmt.Errorf("bad RESP line %q", line)
	}
	switch {
	case line[0] == ':':
		return reply{kind: integer, int: n}, nil
	case n < 0 && (line[0] == '$' || line[0] == '*'):
		return reply{}, nil
	case line[0] == '$':
		b := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, b); err != nil {
			return reply{}, err
		}
		return reply{kind: bulk, str: string(b[:n])}, nil
	case line[0] == '*':
		r := reply{kind: array}
		for range n {
			e, err := c.read()
			if err != nil {
				return reply{}, err
			}
			r.elems = append(r.elems, e)
		}
		return r, nil
	}
	return reply{}, fmt.Errorf("bad RESP line %q", line)
}

// version is the Redis whose words and numbers count; its replies differ from those of other minor versions.
const version = "7.0."

// launch starts a private redis-server that saves nothing and listens on a unix socket only; it ends with the test.
func launch(tb testing.TB) (socket string) {
	tb.Helper()
	socket = parts.NewRedis(tb).Socket()
	c, err := dial(socket)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.conn.Close()
	checkVersion(tb, c)
	return socket
}

func checkVersion(tb testing.TB, c *client) {
	tb.Helper()
	info, err := c.do([]string{"INFO", "server"})
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(info[0].str, "redis_version:")
	if got, _, _ := strings.Cut(rest, "\r"); !strings.HasPrefix(got, version) {
		parts.Skip(tb, "needs redis-server %sx, found %q", version, got)
	}
}

// connections of a side: two that take part in a sequence, so that WATCH has something to see, and one that looks on.
const (
	actor = iota
	other
	observer
	connections
)

// side is one of the two stores that are compared.
type side interface {
	// do carries out one command on a connection.
	do(conn int, args ...string) reply
	// all carries out commands one after the other.
	all(conn int, commands ...[]string) []reply
	// reset empties the store and forgets what its connections remember.
	reset()
}

// server is the side of a redis-server.
type server struct {
	tb    testing.TB
	conns [connections]*client
}

var _ side = (*server)(nil)

func newServer(tb testing.TB) *server {
	socket := launch(tb)
	s := &server{tb: tb}
	for i := range s.conns {
		c, err := dial(socket)
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { c.conn.Close() })
		s.conns[i] = c
	}
	return s
}

func (s *server) do(conn int, args ...string) reply { return s.all(conn, args)[0] }

func (s *server) all(conn int, commands ...[]string) []reply {
	replies, err := s.conns[conn].do(commands...)
	if errors.Is(err, io.EOF) {
		s.tb.Fatalf("redis-server closed the connection at %q", commands)
	}
	if err != nil {
		s.tb.Fatalf("redis-server, at %q: %v", commands, err)
	}
	return replies
}

func (s *server) reset() {
	s.do(actor, "RESET")
	s.do(other, "RESET")
	s.all(observer, []string{"FLUSHALL"}, []string{"SCRIPT", "FLUSH"})
}
