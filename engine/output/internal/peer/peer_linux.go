// Package peer connects outputs to servers, and knows whether the other side of a connection is still there.
package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Server is who an output connects to.
type Server struct {
	Address string // host:port
	TLS     *tls.Config
	// Silent: the server never says anything, so that a TLS server that does not want us is waited for a little after the
	// handshake: with TLS 1.3 it says so only then, and what was written before is lost.
	Silent bool
	// Refusal is how long a silent TLS server may take to refuse us after the handshake; New sets 300 ms.
	Refusal time.Duration
	// Timeout is how long the other side may not confirm what the kernel sends before the connection breaks.
	Timeout time.Duration
	made    *atomic.Int64 // connections
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// limit is that of connecting and of the TLS handshake, each.
const limit = 15 * time.Second

// New checks the address of a row: host:port, or host and then otherwise is the port.
func New(p engine.Params, otherwise int, config *tls.Config) (*Server, error) {
	host, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		host, port = p.Address, strconv.Itoa(otherwise)
		if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
			host = host[1 : len(host)-1]
		}
	}
	if n, e := strconv.ParseUint(port, 10, 16); e != nil || n == 0 || host == "" {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q: want the server, such as %s://collector:%d", p.URI, p.Scheme, otherwise)}
	}
	if config != nil && config.ServerName == "" {
		config = config.Clone()
		config.ServerName = host
	}
	return &Server{Address: net.JoinHostPort(host, port), TLS: config, Refusal: 300 * time.Millisecond, dial: p.Dial,
		made: p.Counter("connections_total", "Connections made to the server.")}, nil
}

// Dial connects with TCP, and TLS if that is wanted.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := s.dial(ctx, "tcp", s.Address)
	if err != nil {
		return nil, err
	}
	if s.Timeout > 0 {
		wire.Control(conn, func(fd int) {
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(s.Timeout.Milliseconds()))
		})
	}
	if s.TLS == nil {
		s.made.Add(1)
		return conn, nil
	}
	t := tls.Client(conn, s.TLS)
	if err := s.shake(ctx, t); err != nil {
		conn.Close()
		return nil, err
	}
	s.made.Add(1)
	return t, nil
}

// shake does the TLS handshake and says what to do about an error.
func (s *Server) shake(ctx context.Context, t *tls.Conn) error {
	var unknown *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	err := t.HandshakeContext(ctx)
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s is refused (tls_ca says who may sign it, tls_server_name what it is called): %w", s.Address, err)
	case errors.As(err, &record):
		return fmt.Errorf("%s does not talk TLS: %w", s.Address, err)
	case err != nil:
		return fmt.Errorf("TLS with %s: %w", s.Address, Refusal(err))
	case !s.Silent:
		return nil
	}
	t.SetReadDeadline(time.Now().Add(s.Refusal))
	defer t.SetReadDeadline(time.Time{})
	var b [1]byte
	if _, err := t.Read(b[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s refuses us after the TLS handshake (it may want a client certificate: tls_cert, tls_key): %w", s.Address, err)
	}
	return nil
}

// Refusal adds the remedy to an error by which a server refuses us with TLS. Since TLS 1.3 that comes with the first read behind
// the handshake. Other errors stay as they are.
func Refusal(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return fmt.Errorf("it refuses us (it may want a client certificate: tls_cert, tls_key): %w", err)
	}
	return err
}

// Ports is what an output with this server answers as engine.PortUser.
func (s *Server) Ports() ([]engine.PortUse, bool) {
	_, port, _ := net.SplitHostPort(s.Address)
	n, _ := strconv.ParseUint(port, 10, 16)
	return []engine.PortUse{{Port: uint16(n)}}, false
}

// HungUp asks the kernel whether the other side has closed the connection: what is written then would be lost without an error.
func HungUp(conn net.Conn) bool {
	gone := false
	ok := wire.Control(conn, func(fd int) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err == nil && n > 0 {
			gone = p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		}
	})
	return gone || !ok
}

// Unconfirmed is how many of the bytes that the kernel has taken the other side's kernel has not confirmed: they are lost if the
// connection breaks.
func Unconfirmed(conn net.Conn) int {
	left := 0
	wire.Control(conn, func(fd int) {
		if n, err := unix.IoctlGetInt(fd, unix.TIOCOUTQ); err == nil {
			left = n
		}
	})
	return left
}

// Close ends a connection. That TLS could not say goodbye any more is no error.
func Close(conn net.Conn) error {
	if err := conn.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
