package luabind

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// usage is what scripts have used of the outside until the process confined itself. They are code and not configuration, so
// nothing else tells what they are going to need: that is what they needed in setup().
type usage struct {
	mu     sync.Mutex
	closed bool   // the process is confined
	hint   string // for what fails since then
	paths  map[engine.PathUse]bool
	ports  map[uint16]bool
}

// path notes that a script reads or writes a file.
func (u *usage) path(name string, access engine.Access) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	name, err := filepath.Abs(name)
	if err != nil {
		return
	}
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	if u.paths == nil {
		u.paths = map[engine.PathUse]bool{}
	}
	u.paths[engine.PathUse{Path: filepath.Dir(name), Access: access}] = true // a new file may take its place
	if access == engine.Read {
		u.paths[engine.PathUse{Path: name}] = true
	}
}

// dialed notes the port of an address, and says in the error of a connection that was refused here what to do.
func (u *usage) dialed(address string, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		if errors.Is(err, syscall.EACCES) {
			return fmt.Errorf("%w (%s)", err, u.hint)
		}
		return err
	}
	_, text, _ := net.SplitHostPort(address)
	if port, bad := strconv.ParseUint(text, 10, 16); bad == nil {
		if u.ports == nil {
			u.ports = map[uint16]bool{}
		}
		u.ports[uint16(port)] = true
	}
	return err
}

// Confined tells the Loader that the process has confined itself: what scripts use from now on is no longer noted. hint is
// added to errors of connections that the confinement refuses.
func (l *Loader) Confined(hint string) {
	l.usage.mu.Lock()
	defer l.usage.mu.Unlock()
	l.usage.closed, l.usage.hint = true, hint
}

// Paths returns what scripts have read and written so far: ROOT, and the directories of the files elsewhere.
func (l *Loader) Paths() []engine.PathUse {
	l.usage.mu.Lock()
	defer l.usage.mu.Unlock()
	uses := []engine.PathUse{{Path: l.dir}}
	for u := range l.usage.paths {
		uses = append(uses, u)
	}
	slices.SortFunc(uses[1:], func(a, b engine.PathUse) int {
		return slices.Compare([]string{a.Path, a.Access.String()}, []string{b.Path, b.Access.String()})
	})
	return uses
}

// Ports returns the TCP ports that scripts have connected to so far. any says that they may connect to others too: one of
// them uses the module http, http_get, or names that are made at run time.
func (l *Loader) Ports() (ports []engine.PortUse, any bool) {
	l.usage.mu.Lock()
	for p := range l.usage.ports {
		ports = append(ports, engine.PortUse{Port: p})
	}
	l.usage.mu.Unlock()
	slices.SortFunc(ports, func(a, b engine.PortUse) int { return int(a.Port) - int(b.Port) })
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.codes {
		any = any || slices.Contains(c.requires, "http") || mayConnect(c.proto)
	}
	return ports, any
}

// mayConnect reports whether a function, or one in it, may reach the functions that connect to where a script wants.
func mayConnect(p *lua.FunctionProto) bool {
	for _, instruction := range p.Code {
		const opcodeBits, bx = 26, 1<<18 - 1
		if int(instruction>>opcodeBits) != lua.OP_GETGLOBAL {
			continue
		}
		switch p.Constants[instruction&bx].String() {
		case "http", "_G", "getfenv", "setfenv", "load", "loadstring", "loadfile", "dofile", "package", "debug":
			return true
		}
	}
	if slices.Contains(p.Constants, lua.LValue(lua.LString("http_get"))) {
		return true
	}
	return slices.ContainsFunc(p.FunctionPrototypes, mayConnect)
}

// readWrite are the accesses of os.OpenFile's flags.
func access(flags int) engine.Access {
	if flags&(os.O_WRONLY|os.O_RDWR) != 0 {
		return engine.Write
	}
	return engine.Read
}
