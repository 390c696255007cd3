package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

// web is the HTTP listeners; they serve the engine that runs.
type web struct {
	servers []*http.Server
	sockets []*adminSocket
	handler atomic.Pointer[http.Handler]
}

// newWeb listens on the addresses of list, separated by commas: HOST:PORT, or unix://PATH below runDir. That it cannot is told,
// and not fatal, as in the original.
func newWeb(list, runDir string, log *slog.Logger) *web {
	w := &web{}
	for address := range strings.SplitSeq(list, ",") {
		address = strings.TrimSpace(address)
		if address == "" {
			continue
		}
		if err := w.listen(address, runDir, log); err != nil {
			log.Error("no HTTP listener: /metrics, /healthz, /ledger and /www/ are not there", "address", address, "err", err)
		}
	}
	return w
}

func (w *web) listen(address, runDir string, log *slog.Logger) error {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		s, err := listenAdmin(path, runDir)
		if err != nil {
			return err
		}
		w.sockets = append(w.sockets, s)
		log.Info("HTTP listener", "address", "unix://"+s.path)
		w.serve(s, http.HandlerFunc(w.answer))
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	handler := http.Handler(http.HandlerFunc(w.answer))
	if at, ok := l.Addr().(*net.TCPAddr); ok && at.IP.IsLoopback() {
		handler = fromHere(handler)
	} else {
		log.Warn("the HTTP listener has no authentication and is not on loopback: whoever reaches it can read it (unix://admin.sock or 127.0.0.1 are safe)", "address", l.Addr().String())
	}
	log.Info("HTTP listener", "address", l.Addr().String())
	w.serve(l, handler)
	return nil
}

func (w *web) serve(l net.Listener, handler http.Handler) {
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10, Handler: handler}
	w.servers = append(w.servers, server)
	go server.Serve(l) // ended by close
}

func (w *web) answer(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("X-Content-Type-Options", "nosniff")
	if h := w.handler.Load(); h != nil {
		(*h).ServeHTTP(rw, r)
		return
	}
	http.Error(rw, "starting", http.StatusServiceUnavailable)
}

func (w *web) show(e *engine.Engine) {
	h := e.Handler()
	w.handler.Store(&h)
}

func (w *web) close() {
	for _, s := range w.servers {
		s.Close()
	}
	for _, s := range w.sockets {
		s.remove()
	}
}

// give makes the sockets those of the user that the process becomes.
func (w *web) give(a account) error {
	var errs []error
	for _, s := range w.sockets {
		errs = append(errs, s.dir.Lchown(filepath.Base(s.path), a.uid, a.gid))
	}
	return errors.Join(errs...)
}

// fromHere refuses requests that a browser makes for a page from elsewhere: those of another site, and those to a foreign name
// that was made to resolve to loopback (DNS rebinding).
func fromHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !ownHost(r.Host) {
			http.Error(rw, fmt.Sprintf("the host %q is not this one: ask for localhost or 127.0.0.1", r.Host), http.StatusForbidden)
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
			http.Error(rw, "requests from other sites are refused", http.StatusForbidden)
			return
		}
		next.ServeHTTP(rw, r)
	})
}

// ownHost reports whether the Host of a request names loopback. HTTP/1.0 has none, and no browser speaks it.
func ownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// adminSocket is a unix socket that answers its owner and root only.
type adminSocket struct {
	*net.UnixListener
	path  string
	dir   *os.Root // of path: it can be removed in a chroot too
	bound os.FileInfo
}

// listenAdmin binds the socket. A file that nobody listens on any more is removed first.
func listenAdmin(path, runDir string) (*adminSocket, error) {
	if path == "" {
		return nil, errors.New("unix:// names no socket, want unix://admin.sock")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(runDir, path)
	}
	if len(path) > 107 {
		return nil, fmt.Errorf("%q is longer than 107 bytes, the most that a socket's path may have", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	s := &adminSocket{path: path, dir: dir}
	if err := s.bind(); err != nil {
		dir.Close()
		return nil, err
	}
	return s, nil
}

func (s *adminSocket) bind() error {
	name := filepath.Base(s.path)
	if info, err := s.dir.Lstat(name); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%s exists and is not a socket", s.path)
		}
		c, err := net.DialTimeout("unix", s.path, time.Second)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("another process seems to listen on %s", s.path)
		}
		if err := s.dir.Remove(name); err != nil {
			return err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false) // by name: in a chroot it would be another's
	if s.bound, err = s.dir.Lstat(name); err == nil {
		err = s.dir.Chmod(name, 0o600)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.UnixListener = l
	return nil
}

// Accept returns the next client that may ask; others are cut off.
func (s *adminSocket) Accept() (net.Conn, error) {
	for {
		c, err := s.AcceptUnix()
		if err != nil {
			return nil, err
		}
		if uid, err := peer(c); err == nil && (uid == 0 || int(uid) == os.Geteuid()) {
			return c, nil
		}
		c.Close()
	}
}

// peer returns the user at the other end.
func peer(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if ctl := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); ctl != nil {
		return 0, ctl
	}
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}

// remove removes the socket file if it is still ours. Without the right to do so it stays, and the next start removes it.
func (s *adminSocket) remove() {
	name := filepath.Base(s.path)
	if info, err := s.dir.Lstat(name); err == nil && os.SameFile(info, s.bound) {
		s.dir.Remove(name)
	}
	s.dir.Close()
}
