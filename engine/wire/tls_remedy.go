package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// TLSRemedy says what a user can do about an error of a connection that has to do with TLS: with it, or without it to a port that
// wants it. It is "" for other errors. with says whether the row wants TLS, answered whether the server has ever said anything.
func TLSRemedy(err error, with, answered bool) string {
	var name x509.HostnameError
	var refused *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var slow net.Error
	switch {
	case errors.As(err, &name):
		return "the server's certificate is for another name: set tls_server_name, or connect by that name"
	case errors.As(err, &refused):
		return "set tls_ca to the authority that signed the server's certificate"
	case errors.As(err, &record):
		return "the server has no TLS at this port: remove the tls keys of the row, or name its port with TLS"
	case errors.As(err, &alert), strings.Contains(err.Error(), "remote error: tls"):
		return "the server refuses our certificate, or wants one: see tls_cert and tls_key"
	case answered:
		return ""
	case with && (errors.Is(err, context.DeadlineExceeded) || errors.As(err, &slow) && slow.Timeout()):
		return "if the server has no TLS at this port remove the tls keys of the row"
	case !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE):
		return ""
	case with:
		return "the server ended the connection before it said anything: it may want a certificate of ours, tls_cert and tls_key"
	}
	return "the server ended the connection before it said anything: the port may want TLS, tls = true"
}
