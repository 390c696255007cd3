// Package sock binds unix sockets for the inputs that listen on them.
package sock

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"dragonfly/engine"
)

// Options are the options of every input that binds a unix socket.
var Options = []engine.Option{
	{Key: "mode", Type: engine.String, Default: "0660", Doc: "Permissions of the socket file, octal."},
	{Key: "owner", Type: engine.String, Doc: "User that owns the socket file (name or number); \"\" leaves it."},
	{Key: "group", Type: engine.String, Doc: "Group of the socket file (name or number); \"\" leaves it."},
}

// Socket is the path of a unix socket and who may write to it.
type Socket struct {
	Path     string
	network  string // "unix" or "unixgram"
	mode     os.FileMode
	uid, gid int // -1 leaves them
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
		if s.uid, err = strconv.Atoi(name); err != nil {
			return s, &engine.ConfigError{Key: "owner", Msg: fmt.Sprintf("there is no user %q", name)}
		}
	}
	if name := p.Options.String("group"); name != "" {
		if g, err := user.LookupGroup(name); err == nil {
			name = g.Gid
		}
		if s.gid, err = strconv.Atoi(name); err != nil {
			return s, &engine.ConfigError{Key: "group", Msg: fmt.Sprintf("there is no group %q", name)}
		}
	}
	return s, nil
}

// Prepare makes the directory and removes a socket file that nobody listens on any more. It refuses to remove anything
// else, or the socket of a living process.
func (s Socket) Prepare() error {
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o755); err != nil {
		return err
	}
	info, err := os.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket", s.Path)
	}
	if conn, err := net.Dial(s.network, s.Path); err == nil {
		conn.Close()
		return fmt.Errorf("another process listens on %s", s.Path)
	}
	return os.Remove(s.Path)
}

// Permit gives the socket file its permissions and owner.
func (s Socket) Permit() error {
	if s.mode != 0 {
		if err := os.Chmod(s.Path, s.mode); err != nil {
			return err
		}
	}
	if s.uid >= 0 || s.gid >= 0 {
		return os.Chown(s.Path, s.uid, s.gid)
	}
	return nil
}
