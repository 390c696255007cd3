package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestTLSRemedy(t *testing.T) {
	f := func(err error, with, answered bool, want string) {
		t.Helper()
		got := TLSRemedy(fmt.Errorf("redis: %w", err), with, answered)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%v: got %q, want %q", err, got, want)
		}
	}
	f(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true, false, "set tls_ca")
	f(&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "siem"}}, true, false, "tls_server_name")
	f(tls.RecordHeaderError{}, true, false, "has no TLS")
	f(tls.AlertError(116), true, true, "tls_cert")
	f(os.ErrDeadlineExceeded, true, false, "has no TLS")
	f(os.ErrDeadlineExceeded, true, true, "")
	f(os.ErrDeadlineExceeded, false, false, "")
	f(syscall.ECONNRESET, true, false, "tls_cert")
	f(syscall.EPIPE, false, false, "tls = true")
	f(io.EOF, false, false, "tls = true")
	f(io.EOF, false, true, "")
	f(syscall.ECONNREFUSED, false, false, "")
	f(errors.New("remote error: tls: certificate required"), true, false, "tls_cert")
}
