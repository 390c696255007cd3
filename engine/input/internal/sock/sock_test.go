package sock

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dragonfly/engine"
)

func socket(t *testing.T, network, path string, values engine.Values) *Socket {
	t.Helper()
	s, err := New(network, engine.Params{Address: path, RunDir: filepath.Dir(path), Options: values})
	if err != nil {
		t.Fatal(err)
	}
	return &s
}

// listen binds path for network and returns the closer, which leaves the file behind.
func listen(t *testing.T, network, path string) func() {
	t.Helper()
	if network == "unixgram" {
		c, err := net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
		if err != nil {
			t.Fatal(err)
		}
		return func() { c.Close() }
	}
	l, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	return func() { l.Close() }
}

func TestPrepareRemovesStaleSocketsOnly(t *testing.T) {
	for _, ours := range []string{"unix", "unixgram"} {
		for _, theirs := range []string{"unix", "unixgram"} {
			t.Run(ours+" over "+theirs, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "s")
				stop := listen(t, theirs, path)
				if err := socket(t, ours, path, nil).Prepare(); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("a living socket: got %v", err)
				}
				if _, err := os.Lstat(path); err != nil {
					t.Fatal("the socket of a living process was removed")
				}
				stop()
				if err := socket(t, ours, path, nil).Prepare(); err != nil {
					t.Error(err)
				}
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the stale socket is still there: %v", err)
				}
			})
		}
	}
}

// A listener whose queue is full does not answer, but lives.
func TestPrepareRefusesABusyListener(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(c)
		syscall.Connect(c, &syscall.SockaddrUnix{Name: path})
	}
	if err := socket(t, "unix", path, nil).Prepare(); err == nil {
		t.Error("got no error")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the socket of a living process was removed")
	}
}

func TestPrepareNeverRemovesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	os.WriteFile(path, []byte("precious"), 0o644)
	if err := socket(t, "unix", path, nil).Prepare(); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Error("the file is gone")
	}
}

func TestPermitAndRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := socket(t, "unixgram", path, engine.Values{"mode": "0606", "owner": "12", "group": "34"})
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	defer listen(t, "unixgram", path)()
	if err := s.Permit(); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Lstat(path)
	if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o606 || st.Uid != 12 || st.Gid != 34 {
		t.Errorf("got %v %d %d", info.Mode(), st.Uid, st.Gid)
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not removed: %v", err)
	}
}

// The next process may have bound the path meanwhile.
func TestRemoveLeavesASuccessorsSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := socket(t, "unixgram", path, nil)
	if err := s.Prepare(); err != nil {
		t.Fatal(err)
	}
	defer listen(t, "unixgram", path)()
	if err := s.Permit(); err != nil {
		t.Fatal(err)
	}
	os.Rename(path, path+".old")
	defer listen(t, "unixgram", path)()
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the successor's socket was removed")
	}
}

func TestNewRefusesBadRows(t *testing.T) {
	for key, p := range map[string]engine.Params{
		"uri":   {Address: "", URI: "unix://"},
		"mode":  {Address: "/s", Options: engine.Values{"mode": "rw"}},
		"owner": {Address: "/s", Options: engine.Values{"owner": "no such user"}},
		"group": {Address: "/s", Options: engine.Values{"group": "no such group"}},
	} {
		_, err := New("unix", p)
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key != key {
			t.Errorf("%s: got %v", key, err)
		}
	}
	for _, owner := range []string{"-1", "4294967295"} {
		if _, err := New("unix", engine.Params{Address: "/s", Options: engine.Values{"owner": owner}}); err == nil {
			t.Errorf("owner %s was taken", owner)
		}
	}
	if _, err := New("unix", engine.Params{Address: "/" + strings.Repeat("x", 108)}); err == nil {
		t.Error("a path that is too long was taken")
	}
}
