package store

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dragonfly/test/parts"
)

// TestFullDisk fills the disk with snapshots: the last one that fits stays, commands go on, and when there is room again it
// is saved again. A fault that stays is logged once.
func TestFullDisk(t *testing.T) {
	dir := parts.Tmpfs(t, "256k")
	var j parts.Log
	s := open(t, Options{File: filepath.Join(dir, "store"), SaveEvery: 5 * time.Millisecond, Log: j.Logger()})
	c := s.Conn()
	do(c, "SET small 1")
	parts.Until(t, "a snapshot", func() bool { return s.Stats().Saves > 0 })
	c.Do([]string{"SET", "large", strings.Repeat("x", 300<<10)})
	parts.Until(t, "ten faults", func() bool { return s.Stats().SaveErrors > 10 })
	check(t, c, "INCR small", "2", "STRLEN large", fmt.Sprint(300<<10))
	if text := j.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "no space left on device: free space there") || !strings.Contains(text, dir) {
		t.Errorf("got\n%s", text)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 2 {
		t.Errorf("got %v", entries)
	}
	old, err := Open(Options{File: filepath.Join(dir, "store")})
	if err != nil {
		t.Fatal(err)
	}
	check(t, old.Conn(), "GET small", "1")
	n := s.Stats().Saves // none succeeds before the DEL
	do(c, "DEL large")
	parts.Until(t, "another snapshot", func() bool { return s.Stats().Saves > n })
	parts.Until(t, "a word of it", func() bool { return strings.Contains(j.String(), "the store is saved again") })
	if got := do(c, "SAVE"); got != "OK" {
		t.Errorf("got %s", got)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	dir := parts.Tmpfs(t, "1m")
	s, err := Open(Options{File: filepath.Join(dir, "store")})
	if err != nil {
		t.Fatal(err)
	}
	do(s.Conn(), "SET a 1")
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	do(s.Conn(), "SET a 2")
	if err := s.Save(); err == nil || !strings.Contains(err.Error(), "read-only file system: let the user of this process (uid 0) write to "+dir) {
		t.Errorf("got %v", err)
	}
	if got := do(s.Conn(), "SAVE"); !strings.HasPrefix(got, "ERR ") {
		t.Errorf("got %s", got)
	}
	if err := s.Close(); err == nil {
		t.Error("Close says nothing")
	}
	s, err = Open(Options{File: filepath.Join(dir, "store")}) // to read it is enough
	if err != nil {
		t.Fatal(err)
	}
	check(t, s.Conn(), "GET a", "1")
}

// TestSomebodyElsesFile opens, as nobody, what only root may read or replace.
func TestSomebodyElsesFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	s, err := Open(Options{File: path})
	if err != nil {
		t.Fatal(err)
	}
	do(s.Conn(), "SET a 1")
	s.Close()
	if os.Getuid() == 0 {
		for d := dir; d != "/"; d = filepath.Dir(d) {
			os.Chmod(d, 0o755)
		}
		// file permissions are of the thread
		if err := asNobody(t, func() {
			_, err = Open(Options{File: path})
		}); err != nil {
			t.Fatal(err)
		}
	} else {
		os.Chmod(path, 0)
		_, err = Open(Options{File: path})
	}
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "permission denied: let the user of this process") {
		t.Errorf("got %v", err)
	}
}

// asNobody calls f on a thread whose file permissions are those of nobody; the thread ends with it.
func asNobody(t *testing.T, f func()) error {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime throws the thread away
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0); errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	return <-done
}
