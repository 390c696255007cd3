// Package luabind runs the users' Lua scripts: it loads config.lua, compiles scripts, gives each worker an interpreter
// of its own and shows it events as tables that are decoded only where they are touched. It is the only package that
// imports gopher-lua.
package luabind

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"dragonfly/engine"
	"dragonfly/engine/store"
)

// Loader compiles scripts. It reads them through a handle of ROOT, so that a reload works in a chroot too.
type Loader struct {
	dir    string // ROOT, absolute
	root   *os.Root
	stdout io.Writer
	roots  *x509.CertPool
	hosts  map[string][]string
	dog    *watchdog
	models models // used by scripts

	mu                   sync.Mutex
	codes                map[string]*code // by path; compiled once, shared by all workers
	verified, unverified *http.Client     // of the http module
	redis                store.Client     // of the scripts; nil before the first use
	embedded             bool             // redis answers in process: nothing to wait for
	ownStore             *store.Store     // made by redisClient
	dialer               func(address string) (store.Client, error)
	eval                 *evaluator // guarded by the store that calls it

	networks networkFiles // of net.load_cidr
}

// Options of a Loader; the zero value is fine.
type Options struct {
	Stdout io.Writer           // what print writes to; nil is os.Stdout
	Roots  *x509.CertPool      // trusted by http; nil is the system's, read when first needed
	Hosts  map[string][]string // addresses of hosts that go before DNS: /etc/hosts, where that cannot be read later
}

// NewLoader returns a Loader for scripts below the directory root.
func NewLoader(root string, o Options) (*Loader, error) {
	dir, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	return &Loader{dir: dir, root: r, stdout: o.Stdout, roots: o.Roots, hosts: o.Hosts, dog: newWatchdog(), codes: map[string]*code{}}, nil
}

// Forget lets scripts be read again: for a reload. Programs that are in use stay as they are.
func (l *Loader) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes = map[string]*code{}
}

// Close ends what the Loader runs in the background. Its scripts must be closed before.
func (l *Loader) Close() error {
	l.models.close()
	l.dog.close()
	if l.ownStore != nil {
		l.ownStore.Close()
	}
	return l.root.Close()
}

// Program compiles the script at path (relative to ROOT, or absolute) and all that it requires by a constant name.
func (l *Loader) Program(path string) (engine.Program, error) {
	c, err := l.code(path)
	if err != nil {
		return nil, err
	}
	return &program{loader: l, code: c, mayLoop: l.mayLoop(c, map[*code]bool{}), keepsState: l.keepsState(c, map[*code]bool{})}, nil
}

// mayLoop reports whether c or a file that it requires may run without end.
func (l *Loader) mayLoop(c *code, seen map[*code]bool) bool {
	if c.mayLoop {
		return true
	}
	seen[c] = true
	for _, name := range c.requires {
		if isModule(name) {
			continue
		}
		r, err := l.find(name)
		if err != nil || (!seen[r] && l.mayLoop(r, seen)) {
			return true
		}
	}
	return false
}

// keepsState reports whether c or a file that it requires names the global state.
func (l *Loader) keepsState(c *code, seen map[*code]bool) bool {
	if c.usesState {
		return true
	}
	seen[c] = true
	for _, name := range c.requires {
		if isModule(name) {
			continue
		}
		if r, err := l.find(name); err == nil && !seen[r] && l.keepsState(r, seen) {
			return true
		}
	}
	return false
}

// code returns the compiled file.
func (l *Loader) code(name string) (*code, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.codes[name]; ok {
		return c, nil
	}
	source, err := l.Read(name)
	if err != nil {
		return nil, err
	}
	c, err := compileScript(name, string(source))
	if err != nil {
		return nil, err
	}
	l.codes[name] = c
	return c, nil
}

// Read returns a file of ROOT. Absolute paths may lead elsewhere.
func (l *Loader) Read(name string) ([]byte, error) {
	if filepath.IsAbs(name) {
		rel, ok := strings.CutPrefix(name, l.dir+"/")
		if !ok {
			return os.ReadFile(name)
		}
		name = rel
	}
	return l.root.ReadFile(name)
}

// Exists reports whether name is a file that Read can read.
func (l *Loader) Exists(name string) bool {
	var info fs.FileInfo
	var err error
	if filepath.IsAbs(name) && !strings.HasPrefix(name, l.dir+"/") {
		info, err = os.Stat(name)
	} else {
		info, err = l.root.Stat(strings.TrimPrefix(name, l.dir+"/"))
	}
	return err == nil && !info.IsDir()
}

// aliases are the names under which a directory of scripts may stand in ROOT: ours and dragonfly-mle's.
var aliases = [][2]string{{"analyzer/", "analyzers/"}, {"analyzers/", "analyzer/"}, {"filter/", "scripts/"}, {"scripts/", "filter/"}}

// find returns what require(name) loads: a file below ROOT.
func (l *Loader) find(name string) (*code, error) {
	file := strings.TrimSuffix(name, ".lua")
	if !strings.Contains(file, "/") {
		file = strings.ReplaceAll(file, ".", "/")
	}
	file = path.Clean(strings.TrimPrefix(file, "./"))
	candidates := []string{file}
	for _, a := range aliases {
		if rest, ok := strings.CutPrefix(file, a[0]); ok {
			candidates = append(candidates, a[1]+rest)
		}
	}
	candidates = append(candidates, "scripts/lib/"+file, "scripts/"+file, "analyzers/"+file, "lib/"+file, "filter/"+file, "analyzer/"+file)
	var tried []string
	for _, c := range candidates {
		for _, end := range []string{".lua", "/init.lua"} {
			found, err := l.code(c + end)
			if err == nil {
				return found, nil
			}
			if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(err.Error(), "escapes") {
				return nil, err
			}
			tried = append(tried, c+end)
		}
	}
	return nil, fmt.Errorf("module %q not found below %s (tried %s)", name, l.dir, strings.Join(tried, ", "))
}

// program is a compiled script.
type program struct {
	loader  *Loader
	code    *code
	mayLoop bool

	keepsState bool // it has the global state: see state.go
}

var _ engine.Program = (*program)(nil)

// Load implements engine.Program.
func (p *program) Load(env engine.ScriptEnv, out *engine.Results) (engine.Script, error) {
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	s := newScript(p, env)
	if err := s.start(out); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}
