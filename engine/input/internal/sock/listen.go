package sock

import (
	"errors"
	"io"
	"net"
)

// Listen binds a stream socket.
func (s *Socket) Listen() (*net.UnixListener, error) {
	if err := s.Prepare(); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.Path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by name: in a chroot it would be another's
	return l, s.permitted(l)
}

// ListenPacket binds a datagram socket.
func (s *Socket) ListenPacket() (*net.UnixConn, error) {
	if err := s.Prepare(); err != nil {
		return nil, err
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.Path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return c, s.permitted(c)
}

// permitted is Permit, and undoes the binding if that fails.
func (s *Socket) permitted(bound io.Closer) error {
	if err := s.Permit(); err != nil {
		return errors.Join(err, bound.Close(), s.Remove())
	}
	return nil
}
