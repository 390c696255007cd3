package nats_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	gonats "github.com/nats-io/nats.go"

	"dragonfly/engine/wire/nats"
)

// TestExplain checks that what the library says about a server comes with the key to correct.
func TestExplain(t *testing.T) {
	closed := func(err error) error {
		return fmt.Errorf("%w: connection closed by remote after TLS handshake: %w", gonats.ErrTLS,
			&net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", err)})
	}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"closed after the handshake, alert not read", closed(syscall.EPIPE), "tls_cert"},
		{"reset after the handshake", closed(syscall.ECONNRESET), "tls_cert"},
		{"alert", errors.New("remote error: tls: certificate required"), "tls_cert"},
		{"server wants TLS", gonats.ErrSecureConnRequired, "tls = true"},
		{"server has none", gonats.ErrSecureConnWanted, "remove the tls keys"},
		{"wrong password", gonats.ErrAuthorization, "user and password"},
		{"nobody there", gonats.ErrNoServers, "start the server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &nats.Server{Name: "siem:4222"}
			if got := s.Explain(c.err).Error(); !strings.Contains(got, c.want) || !strings.Contains(got, "siem:4222") {
				t.Errorf("got %q, want %q and the server in it", got, c.want)
			}
		})
	}
}
