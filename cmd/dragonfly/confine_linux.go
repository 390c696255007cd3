package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/store/remote"
)

// outside is what the process must know of the file system before it leaves it.
type outside struct {
	roots *x509.CertPool
	hosts map[string][]string // /etc/hosts
	user  account             // of -p
}

// lookOutside reads, when the process is going to confine itself, what it may be unable to read afterwards: name servers,
// TLS roots, time zone and user.
func lookOutside(f flags) (outside, error) {
	var o outside
	var err error
	if f.drop {
		if o.user, err = lookUser(f.user); err != nil {
			return o, err
		}
	}
	if abi, _ := landlockABI(); f.chroot == "" && abi == 0 {
		return o, nil
	}
	rememberServers(f.chroot != "")
	o.hosts = hostsFile("/etc/hosts")
	_ = time.Now().String() // loads the local time zone
	if f.chroot == "" {
		return o, nil
	}
	if info, err := os.Stat(f.chroot); err != nil || !info.IsDir() {
		return o, fmt.Errorf("-c %s: not a directory", f.chroot)
	}
	o.roots, _ = x509.SystemCertPool() // an empty pool refuses every server, which is right
	return o, nil
}

// hardenProcess is what every process of ours does at its start: no core dumps and no debugger of the same user, as its
// memory holds passwords and events; and nothing that it makes is writable for everybody.
func hardenProcess(log *slog.Logger) {
	unix.Umask(unix.Umask(0o777) | 0o022)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // a filter of system calls is stricter than we are
		log.Warn("a crash may leave the memory of the process in a core file", "err", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Debug("the limit of core files stays", "err", err)
	}
}

// confine takes from the process what it no longer needs, when everything is open: new privileges, the files and ports that
// nobody named, the root of the file system, the user.
func (b *builder) confine(f flags, o outside, p *pipeline, listen *web) error {
	c, err := b.collect(p.cfg, p, listen)
	if err != nil {
		return err
	}
	if f.drop {
		if err := o.user.take(b.stateDir, b.logDir); err != nil {
			return err
		}
		if err := o.user.takeFiles(c.kept); err != nil {
			return err
		}
		if err := o.user.check(c.kept); err != nil {
			return err
		}
		if err := listen.give(o.user); err != nil {
			return err
		}
	}
	if err := ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := b.landlock(p.cfg, c); err != nil {
		return err
	}
	if f.chroot != "" {
		if err := unix.Chroot(f.chroot); err != nil {
			return fmt.Errorf("chroot %s: %w (only root may)", f.chroot, err)
		}
		if err := os.Chdir("/"); err != nil {
			return err
		}
		b.log.Info("root of the file system changed", "chroot", f.chroot)
	}
	if f.drop {
		if err := o.user.become(); err != nil {
			return err
		}
		b.log.Info("privileges dropped", "uid", o.user.uid, "gid", o.user.gid)
	}
	return nil
}

// uses is what the process goes on using.
type uses struct {
	confinement
	kept []string // directories and files that it goes on writing to
}

// collect asks the components and the scripts what they go on using.
func (b *builder) collect(cfg *engine.Config, p *pipeline, listen *web) (*uses, error) {
	u := &uses{}
	add := func(own bool, list ...engine.PathUse) {
		for _, use := range list {
			u.allow(use, own, b.log)
			if use.Kept {
				u.kept = append(u.kept, use.Path)
			}
		}
	}
	add(true, engine.PathUse{Path: b.root}, engine.PathUse{Path: b.stateDir, Access: engine.Write, Kept: true},
		engine.PathUse{Path: b.logDir, Access: engine.Write, Kept: true})
	if _, err := os.Stat(b.runDir); err == nil { // else no socket is there
		add(true, engine.PathUse{Path: b.runDir, Access: engine.Socket})
	}
	for _, path := range cfg.Confine.Read {
		add(true, engine.PathUse{Path: path})
	}
	for _, path := range cfg.Confine.Write {
		os.MkdirAll(path, 0o755) // else allow says that it is missing
		add(true, engine.PathUse{Path: path, Access: engine.Write})
	}
	add(false, b.loader.Paths()...)
	for _, path := range systemFiles() {
		if _, err := os.Stat(path); err == nil {
			add(true, engine.PathUse{Path: path})
		}
	}
	if strings.HasPrefix(cfg.Store.Listen, "/") {
		add(false, engine.PathUse{Path: filepath.Dir(cfg.Store.Listen), Access: engine.Socket}) // it is removed at the end
	}
	for _, s := range listen.sockets {
		add(false, engine.PathUse{Path: filepath.Dir(s.path), Access: engine.Socket})
	}
	for _, component := range p.components() {
		if user, ok := component.(engine.PathUser); ok {
			add(false, user.Paths()...)
		} else {
			u.allowPorts(nil, true) // it has not said what it needs
		}
		if user, ok := component.(engine.PortUser); ok {
			u.allowPorts(user.Ports())
		}
	}
	return u, b.collectPorts(cfg, u)
}

// collectPorts adds the ports of Redis and of the scripts, and that of name servers.
func (b *builder) collectPorts(cfg *engine.Config, u *uses) error {
	o, err := redisOptions(cfg, b.loader.Read)
	if err != nil {
		return err
	}
	u.allowPorts(portsOf(o))
	u.allowPorts([]engine.PortUse{{Port: 53}}, false)
	if len(cfg.Confine.Connect) == 0 {
		u.allowPorts(b.loader.Ports())
	}
	for _, text := range cfg.Confine.Connect {
		n, _ := strconv.ParseUint(text, 10, 16) // checked; "any" is 0
		if n == 0 {
			u.allowPorts(nil, true)
		} else {
			u.allowPorts([]engine.PortUse{{Port: uint16(n)}}, false)
		}
	}
	return nil
}

// portsOf returns the TCP ports of a Redis. Sentinels and the nodes of a cluster name further ones while it runs.
func portsOf(o remote.Options) (ports []engine.PortUse, any bool) {
	for _, address := range o.Addrs {
		_, text, err := net.SplitHostPort(address)
		if n, bad := strconv.ParseUint(text, 10, 16); err == nil && bad == nil {
			ports = append(ports, engine.PortUse{Port: uint16(n)})
		}
	}
	return ports, o.Cluster || o.Master != ""
}

// systemFiles are what name resolution, TLS and time zones read; none is secret.
func systemFiles() []string {
	list := []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group", "/etc/localtime", "/usr/share/zoneinfo", "/proc/sys/net",
		"/etc/ssl/certs", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem", "/etc/pki/tls/certs", "/etc/pki/tls/cacert.pem", "/etc/pki/ca-trust/extracted",
		"/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/var/lib/ca-certificates", resolvConf}
	if to, err := filepath.EvalSymlinks(resolvConf); err == nil && filepath.Dir(to) != filepath.Dir(resolvConf) {
		list = append(list, filepath.Dir(to)) // it is replaced there
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR"} {
		list = append(list, filepath.SplitList(os.Getenv(name))...)
	}
	return list
}

// landlock enforces u as config.lua wants it.
func (b *builder) landlock(cfg *engine.Config, u *uses) error {
	mode := cfg.Confine.Landlock
	if mode == "off" {
		return nil
	}
	abi, err := landlockABI()
	if err == nil {
		u.abi = abi
		u.describe(b.log)
		err = u.enforce()
	}
	if err != nil {
		if mode == "required" {
			return &engine.ConfigError{File: cfg.File, Key: "landlock", Msg: fmt.Sprintf("is \"required\": %v; \"auto\" goes on without", err)}
		}
		level := slog.LevelWarn
		if abi == 0 {
			level = slog.LevelInfo
		}
		b.log.Log(context.Background(), level, "not confined to the paths of config.lua", "err", err)
		return nil
	}
	b.confined.Store(&u.confinement)
	b.loader.Confined(confineHint)
	hintDenied(b.log, confineHint)
	b.log.Info("confined to the paths and ports of config.lua", "landlock", abi)
	return nil
}

// reachable says which new components of a pipeline need what the process gave up.
func (b *builder) reachable(next *pipeline) error {
	c := b.confined.Load()
	var errs []error
	miss := func(component any, key string, line int) {
		if next.parts.Opened[component] {
			return
		}
		if r, ok := component.(engine.Permitter); ok {
			if err := r.Permitted(); err != nil {
				errs = append(errs, &engine.ConfigError{File: next.cfg.File, Line: line, Key: key, Msg: err.Error()})
			}
		}
		if c == nil {
			return
		}
		if why := c.covers(component); why != "" {
			row, isRow := strings.CutSuffix(key, ".uri")
			file, key := next.cfg.Place(row)
			if isRow {
				key += ".uri"
			}
			errs = append(errs, &engine.ConfigError{File: file, Line: line, Key: key, Msg: why})
		}
	}
	for i, row := range next.cfg.Inputs {
		miss(next.parts.Inputs[i], fmt.Sprintf("inputs[%d].uri", i+1), row.Line)
	}
	for i, row := range next.cfg.Outputs {
		miss(next.parts.Outputs[i], fmt.Sprintf("outputs[%d].uri", i+1), row.Line)
	}
	miss(next.parts.DeadLetterOutput, "dead_letter", 0)
	return errors.Join(errs...)
}
