package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"

	"dragonfly/engine"
)

// confineHint is said beside whatever is denied to a confined process.
const confineHint = "dragonfly confined itself when it started (landlock): if the permissions are right, restart it; for scripts see may_read, may_write, may_connect"

// landlockABI returns what the kernel offers, 0 for nothing. Beyond 7 there are restrictions that we do not use.
func landlockABI() (abi int, why error) {
	abi, err := ll.LandlockGetABIVersion()
	switch {
	case err == nil:
		return min(max(abi, 0), 7), nil
	case errors.Is(err, syscall.ENOSYS):
		return 0, errors.New("this kernel has no Landlock (Linux 5.13 and later, CONFIG_SECURITY_LANDLOCK)")
	case errors.Is(err, syscall.EOPNOTSUPP):
		return 0, errors.New("landlock is switched off in this kernel (add landlock to the boot parameter lsm=)")
	}
	return 0, fmt.Errorf("landlock is refused, perhaps by the seccomp profile of a container: %w", err)
}

// File rights by what a component does. Nothing may be executed.
const (
	readRights   = ll.AccessFSReadFile | ll.AccessFSReadDir
	socketRights = readRights | ll.AccessFSMakeSock | ll.AccessFSRemoveFile
	writeRights  = socketRights | ll.AccessFSWriteFile | ll.AccessFSTruncate | ll.AccessFSRemoveDir |
		ll.AccessFSMakeReg | ll.AccessFSMakeDir | ll.AccessFSMakeFifo | ll.AccessFSRefer
	fileRights = ll.AccessFSReadFile | ll.AccessFSWriteFile | ll.AccessFSTruncate
)

// fsRights returns the file rights that an ABI can take away.
func fsRights(abi int) landlock.AccessFSSet {
	bits := [...]int{0, 13, 14, 15, 15, 16, 16, 16}
	return 1<<bits[abi] - 1
}

// confinement is what the process may reach once it has confined itself. The zero value allows nothing.
type confinement struct {
	abi        int
	paths      []allowedPath
	ports      []engine.PortUse
	anyConnect bool
}

type allowedPath struct {
	name   string // as it was declared, absolute
	path   string // what exists: it, or the directory above it; without symbolic links
	access engine.Access
}

// wide are directories that hold secrets, or everything: a component that names a file right there gets the file only.
var wide = []string{"/", "/etc", "/root", "/proc", "/sys", "/dev", "/boot"}

// wideAbove are those that are not opened for the sake of a missing directory in them.
var wideAbove = append([]string{"/home", "/usr", "/var", "/run", "/opt"}, wide...)

// allow adds a use. The operator's own words go without a look at how wide they are.
func (c *confinement) allow(u engine.PathUse, own bool, log *slog.Logger) {
	path, err := filepath.EvalSymlinks(u.Path)
	if err == nil && !own && slices.Contains(wide, path) {
		log.Debug("landlock: too wide, only the file itself is reachable there", "directory", path)
		return
	}
	if _, there := os.Stat(u.Path); err != nil && there == nil {
		return // a pipe behind /dev/stdin: it has no place in a file system, and Landlock lets it be
	}
	if err != nil && u.Access != engine.Read {
		log.Warn("a directory to write to does not exist, and cannot be made later: make it before dragonfly starts, or set landlock = \"off\"", "directory", u.Path)
		return
	}
	for above := u.Path; err != nil; path, err = filepath.EvalSymlinks(above) {
		if above = filepath.Dir(above); slices.Contains(wideAbove, above) {
			log.Warn("a directory does not exist yet, and cannot be reached when it appears: make it before dragonfly starts, or set landlock = \"off\"", "directory", u.Path)
			return
		}
	}
	for i, a := range c.paths {
		if a.path == path && a.name == u.Path {
			c.paths[i].access |= u.Access
			return
		}
	}
	c.paths = append(c.paths, allowedPath{name: u.Path, path: path, access: u.Access})
}

// allowPorts notes what a component or the scripts do with TCP.
func (c *confinement) allowPorts(ports []engine.PortUse, any bool) {
	c.ports = append(c.ports, ports...)
	c.anyConnect = c.anyConnect || any
}

// enforce takes from all threads of the process what is not allowed, for good.
func (c *confinement) enforce() error {
	handled := fsRights(c.abi)
	config := landlock.Config{HandledAccessFS: handled}
	var rules []landlock.Rule
	for _, p := range c.paths {
		rights := map[engine.Access]landlock.AccessFSSet{engine.Read: readRights, engine.Socket: socketRights, engine.Write: writeRights}[p.access]
		info, err := os.Stat(p.path)
		if err != nil {
			continue // it went away meanwhile
		}
		if !info.IsDir() {
			rights &= fileRights
		}
		rules = append(rules, landlock.PathAccess(rights&handled, p.path).IgnoreIfMissing())
	}
	if c.abi >= 4 {
		config.HandledAccessNet = ll.AccessNetBindTCP
		if !c.anyConnect {
			config.HandledAccessNet |= ll.AccessNetConnectTCP
		}
		for _, p := range c.ports {
			if p.Bind {
				rules = append(rules, landlock.BindTCP(p.Port))
			} else if !c.anyConnect {
				rules = append(rules, landlock.ConnectTCP(p.Port))
			}
		}
	}
	if c.abi >= 6 {
		config.Scoped = ll.ScopeAbstractUnixSocket
		if scopesSignals() {
			config.Scoped |= ll.ScopeSignal
		}
	}
	return config.Restrict(rules...)
}

// scopesSignals reports whether the kernel lets the threads of a confined process signal each other, which Go's scheduler
// does: the first kernels with ABI 6 do not (erratum 2 of Landlock).
func scopesSignals() bool {
	errata, err := ll.LandlockGetErrata()
	return err == nil && errata&2 != 0
}

// describe logs all that is allowed.
func (c *confinement) describe(log *slog.Logger) {
	for _, p := range c.paths {
		log.Debug("landlock: allowed", "access", p.access.String(), "path", p.path)
	}
	if c.abi >= 4 {
		connect := []string{"any"}
		if !c.anyConnect {
			connect = nil
		}
		var bind []string
		for _, p := range c.ports {
			switch text := strconv.Itoa(int(p.Port)); {
			case p.Bind:
				bind = append(bind, text)
			case !c.anyConnect:
				connect = append(connect, text)
			}
		}
		log.Debug("landlock: TCP ports", "connect", cmpText(strings.Join(connect, ","), "none"), "bind", cmpText(strings.Join(bind, ","), "none"))
	}
}

func cmpText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// covers returns what a component needs and the process cannot reach any more, as a sentence; "" is nothing.
func (c *confinement) covers(component any) string {
	if c == nil {
		return ""
	}
	pu, ok := component.(engine.PathUser)
	if !ok {
		return ""
	}
	for _, u := range pu.Paths() {
		if !c.reaches(u) && !slices.Contains(wide, u.Path) {
			return fmt.Sprintf("cannot %s below %s: dragonfly confined itself when it started (landlock), so a restart is needed", u.Access, u.Path)
		}
	}
	if user, ok := component.(engine.PortUser); ok && c.abi >= 4 {
		ports, any := user.Ports()
		for _, p := range ports {
			if !slices.Contains(c.ports, p) && (p.Bind || !c.anyConnect) {
				return fmt.Sprintf("cannot use TCP port %d: dragonfly confined itself when it started (landlock), so a restart is needed", p.Port)
			}
		}
		if any && !c.anyConnect {
			return "cannot connect to any TCP port: dragonfly confined itself when it started (landlock), so a restart is needed"
		}
	}
	return ""
}

// reaches reports whether a use is allowed.
func (c *confinement) reaches(u engine.PathUse) bool {
	names := []string{filepath.Clean(u.Path)}
	if to, err := filepath.EvalSymlinks(u.Path); err == nil {
		names = append(names, to)
	}
	for _, a := range c.paths {
		if a.access|u.Access != a.access {
			continue
		}
		for _, n := range names {
			if within(n, a.name) || within(n, a.path) {
				return true
			}
		}
	}
	return false
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}
