package wire

import (
	"crypto/tls"
	"syscall"
)

// Control calls f with the file descriptor of a connection or socket, below TLS; false if it has none, or is closed.
func Control(conn any, f func(fd int)) bool {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	s, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err == nil && raw.Control(func(fd uintptr) { f(int(fd)) }) == nil
}
