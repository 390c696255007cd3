// Package listen serves clients that connect to a TCP port or a unix stream socket, for the inputs that listen there.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/sock"
	"dragonfly/engine/wire"
)

// MaxClients is the option of every input that serves clients.
var MaxClients = engine.Option{Key: "max_clients", Type: engine.Int, Default: int64(256), Min: 1, Max: 65536, Doc: "Clients served at a time; further ones wait."}

const (
	settle    = 50 * time.Millisecond // how long a client is still read when the input is told to end
	patience  = 5 * time.Second       // how long what it sent may then wait for room in the pipeline
	handshake = 10 * time.Second      // limit of a TLS handshake
)

// Server accepts clients. The order of calls is Open, Run (again after each return), Close.
type Server struct {
	Address string // as in a URI: host:port, or a path
	tls     *tls.Config
	socket  *sock.Socket // nil: TCP
	clients chan struct{}
	log     *slog.Logger

	listener interface {
		net.Listener
		SetDeadline(time.Time) error
	}
}

// TCP returns the server of a row with wire.ServerOptions and MaxClients. The port is otherwise the one that the address lacks.
func TCP(p engine.Params, otherwise int) (*Server, error) {
	address, err := HostPort(p, otherwise)
	if err != nil {
		return nil, err
	}
	config, err := wire.ServerTLS(p)
	return &Server{Address: address, tls: config, clients: make(chan struct{}, max(1, p.Options.Int("max_clients"))), log: p.Log}, err
}

// Unix returns the server of a row with sock.Options and MaxClients.
func Unix(p engine.Params) (*Server, error) {
	socket, err := sock.New("unix", p)
	return &Server{Address: socket.Path, socket: &socket, clients: make(chan struct{}, max(1, p.Options.Int("max_clients"))), log: p.Log}, err
}

// TLS reports whether clients must talk TLS.
func (s *Server) TLS() bool { return s.tls != nil }

// HostPort checks the address of a row, host:port or :port or host, and adds the port that it lacks. No host is every address.
func HostPort(p engine.Params, otherwise int) (string, error) {
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		host, port = p.Address, strconv.Itoa(otherwise)
		if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
			host = host[1 : len(host)-1]
		}
	}
	if _, e := strconv.ParseUint(port, 10, 16); e != nil || net.ParseIP(host) == nil && host != "" && host != "localhost" {
		return "", &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q: want the address to listen on, such as %s://0.0.0.0:%d, or :%d for all addresses", p.URI, p.Scheme, otherwise, otherwise)}
	}
	return net.JoinHostPort(host, port), nil
}

// Open binds; a second call does nothing.
func (s *Server) Open(ctx context.Context) error {
	if s.listener != nil {
		return nil
	}
	if s.socket == nil {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
		if err == nil {
			s.listener = l.(*net.TCPListener)
		}
		return err
	}
	l, err := s.socket.Listen()
	if err != nil {
		return err
	}
	s.listener = l
	return nil
}

// Addr returns where it listens, after Open.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends listening.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	err := s.listener.Close()
	s.listener = nil
	if s.socket != nil {
		err = errors.Join(err, s.socket.Remove())
	}
	return err
}

// Client is one connection. Reads fail soon after the end of Run's context: what came before can still be read, and its records
// handed on with Late, which ends some seconds later.
type Client struct {
	net.Conn
	Late context.Context
	Peer string // address of the other side; "" if it has none
}

// Read implements io.Reader. At the end it reads what the kernel has, however late the goroutine comes to it.
func (c *Client) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.Late.Err() != nil || !Readable(c.Conn) {
			return n, err
		}
		c.SetReadDeadline(time.Now().Add(settle))
	}
}

// Readable reports whether the kernel has something to read from conn, or a client that waits if it is a listener.
func Readable(conn any) (ready bool) {
	wire.Control(conn, func(fd int) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		ready = err == nil && n > 0 && p[0].Revents&unix.POLLIN != 0
	})
	return ready
}

// Run accepts clients and calls serve for each, in a goroutine of its own, until ctx is done or accepting breaks. It returns
// when all calls of serve have. serve closes the connection; errors of clients are its business.
func (s *Server) Run(ctx context.Context, serve func(ctx context.Context, c *Client)) error {
	if err := s.Open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // a fault of accept ends the clients too
	late, cancelLate := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelLate()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancelLate) })()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	l := s.listener
	l.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { l.SetDeadline(time.Now().Add(settle)) })() // some may wait to be accepted
	for {
		select {
		case s.clients <- struct{}{}:
		default:
			select {
			case s.clients <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		}
		conn, err := s.accept(ctx, late)
		if err != nil {
			<-s.clients
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() {
			defer func() { <-s.clients }()
			if c := s.greet(ctx, conn, late); c != nil {
				defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Now().Add(settle)) })()
				serve(ctx, c)
			}
		})
	}
}

// accept waits for the next client. At the end it accepts who waits already, however late the goroutine comes to it.
func (s *Server) accept(ctx, late context.Context) (net.Conn, error) {
	for {
		conn, err := s.listener.Accept()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() == nil || late.Err() != nil || !Readable(s.listener) {
			return conn, err
		}
		s.listener.SetDeadline(time.Now().Add(settle))
	}
}

// greet does the TLS handshake; nil if that fails.
func (s *Server) greet(ctx context.Context, conn net.Conn, late context.Context) *Client {
	c := &Client{Conn: conn, Late: late}
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.Peer = a.AddrPort().Addr().Unmap().String()
	}
	if s.tls == nil {
		return c
	}
	t := tls.Server(conn, s.tls)
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		s.log.Warn("a client's TLS handshake failed; it must talk TLS, trust tls_cert, and with tls_client_ca show a certificate", "peer", c.Peer, "err", err)
		conn.Close()
		return nil
	}
	c.Conn = t
	return c
}

// Paths is what an input with this server answers as engine.PathUser.
func (s *Server) Paths() []engine.PathUse {
	if s.socket == nil {
		return nil
	}
	return s.socket.Paths()
}

// Ports is what an input with this server answers as engine.PortUser: it binds again after a fault.
func (s *Server) Ports() ([]engine.PortUse, bool) {
	if s.socket != nil {
		return nil, false
	}
	_, port, _ := net.SplitHostPort(s.Address)
	n, _ := strconv.ParseUint(port, 10, 16)
	return []engine.PortUse{{Port: uint16(n), Bind: true}}, false
}
