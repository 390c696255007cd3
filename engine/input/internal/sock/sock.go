// Package sock binds unix sockets for the inputs that listen on them.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"dragonfly/engine"
)

// Options are the options of every input that binds a unix socket.
var Options = []engine.Option{
	{Key: "mode", Type: engine.String, Default: "0660", Doc: "Permissions of the socket file, octal."},
	{Key: "owner", Type: engine.String, Doc: "User that owns the socket file (name or number); \"\" leaves it."},
	{Key: "group", Type: engine.String, Doc: "Group of the socket file (name or number); \"\" leaves it."},
}

// Socket is the path of a unix socket and who may write to it. The order of calls is Prepare, bind, Permit, Remove.
type Socket struct {
	Path     string
	network  string // "unix" or "unixgram"
	mode     os.FileMode
	uid, gid int         // -1 leaves them
	dir      *os.Root    // of Path, opened by Prepare, so that Remove works in a chroot
	bound    os.FileInfo // the socket file that is ours, noted by Permit
}

// New checks the address and options of a row.
func New(network string, p engine.Params) (Socket, error) {
	s := Socket{Path: p.Address, network: network, uid: -1, gid: -1}
	if s.Path == "" {
		return s, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q names no socket", p.URI)}
	}
	if !filepath.IsAbs(s.Path) {
		s.Path = filepath.Join(p.RunDir, s.Path)
	}
	if len(s.Path) > 107 {
		return s, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q is longer than 107 bytes, the most that a socket's path may have", s.Path)}
	}
	mode, err := strconv.ParseUint(p.Options.String("mode"), 8, 12)
	if err != nil && p.Options.String("mode") != "" {
		return s, &engine.ConfigError{Key: "mode", Msg: fmt.Sprintf("%q is not an octal file mode such as 0660", p.Options.String("mode"))}
	}
	s.mode = os.FileMode(mode)
	if name := p.Options.String("owner"); name != "" {
		if u, err := user.Lookup(name); err == nil {
			name = u.Uid
		}
		if s.uid, err = number(name); err != nil {
			return s, &engine.ConfigError{Key: "owner", Msg: fmt.Sprintf("there is no user %q", name)}
		}
	}
	if name := p.Options.String("group"); name != "" {
		if g, err := user.LookupGroup(name); err == nil {
			name = g.Gid
		}
		if s.gid, err = number(name); err != nil {
			return s, &engine.ConfigError{Key: "group", Msg: fmt.Sprintf("there is no group %q", name)}
		}
	}
	return s, nil
}

// number parses a user or group number; -1 would mean "leave it" to the kernel.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err
}

// Prepare makes the directory and removes a socket file that nobody listens on any more. It refuses to remove anything
// else, or the socket of a living process.
func (s *Socket) Prepare() error {
	dir, name := filepath.Split(s.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.dir == nil {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return err
		}
		s.dir = root
	}
	info, err := s.dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", s.Path)
	}
	if err := s.stale(); err != nil {
		return err
	}
	return s.dir.Remove(name)
}

// stale returns nil if nobody listens on the path. Only "connection refused" says so: a listener of another type or with a
// full queue refuses us otherwise.
func (s *Socket) stale() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, s.network, s.Path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err == nil {
		conn.Close()
		return fmt.Errorf("another process listens on %s", s.Path)
	}
	return fmt.Errorf("another process seems to listen on %s: %w", s.Path, err)
}

// Permit gives the socket file, which was just bound, its permissions and owner.
func (s *Socket) Permit() error {
	name := filepath.Base(s.Path)
	var err error
	if s.bound, err = s.dir.Lstat(name); err != nil {
		return err
	}
	if s.mode != 0 {
		if err := s.dir.Chmod(name, s.mode); err != nil {
			return err
		}
	}
	if s.uid >= 0 || s.gid >= 0 {
		return s.dir.Lchown(name, s.uid, s.gid)
	}
	return nil
}

// Remove removes the socket file if it is still ours. Without the right to do so the file stays and is stale.
func (s *Socket) Remove() error {
	if s.dir == nil {
		return nil
	}
	defer func() { s.dir.Close(); s.dir = nil }()
	name := filepath.Base(s.Path)
	info, err := s.dir.Lstat(name)
	if err != nil || s.bound == nil || !os.SameFile(info, s.bound) {
		return nil
	}
	if err := s.dir.Remove(name); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Paths is what an input with this socket answers as engine.PathUser: it binds again after a fault.
func (s *Socket) Paths() []engine.PathUse {
	return []engine.PathUse{{Path: filepath.Dir(s.Path), Access: engine.Socket}}
}
