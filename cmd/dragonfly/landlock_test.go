package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

var quietLog = slog.New(slog.NewTextHandler(io.Discard, nil))

// TestAllThreadsAreConfined confines a child that has many threads, and looks from each, and from threads that are born later.
func TestAllThreadsAreConfined(t *testing.T) {
	abi, err := landlockABI()
	if err != nil {
		t.Skip(err)
	}
	if dir := os.Getenv("DRAGONFLY_TEST_CONFINED"); dir != "" {
		confinedChild(t, abi, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestAllThreadsAreConfined$")
	cmd.Env = append(os.Environ(), "DRAGONFLY_TEST_CONFINED="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func confinedChild(t *testing.T, abi int, dir string) {
	if err := os.WriteFile(filepath.Join(dir, "allowed"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const threads = 100
	look := func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err := os.Open("/etc/passwd"); !errors.Is(err, syscall.EACCES) {
			t.Errorf("thread %d: open gives %v, want EACCES", unix.Gettid(), err)
		}
		f, err := os.Open(filepath.Join(dir, "allowed"))
		if err != nil {
			t.Errorf("thread %d: %v", unix.Gettid(), err)
		}
		f.Close()
	}
	var ready, done sync.WaitGroup
	confined := make(chan struct{}) // closed when the process is
	ready.Add(threads)
	for range threads {
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-confined
			look()
			if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); n != 1 || err != nil {
				t.Errorf("no_new_privs: got %d, %v, want 1", n, err)
			}
			if err := unix.Access("/", unix.R_OK); err != nil { // the thread itself works
				t.Error(err)
			}
		})
	}
	ready.Wait()
	c := &confinement{abi: abi}
	c.allow(engine.PathUse{Path: dir, Access: engine.Write}, true, quietLog)
	if err := c.enforce(); err != nil {
		t.Fatal(err)
	}
	close(confined)
	done.Wait()
	for range threads {
		done.Go(look)
	}
	done.Wait()
	if _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(dir, "allowed"), filepath.Join(dir, "renamed")); err != nil {
		t.Error(err)
	}
	if err := unix.Exec("/bin/true", []string{"true"}, nil); !errors.Is(err, syscall.EACCES) {
		t.Errorf("exec gives %v, want EACCES", err)
	}
}

func TestConfinementCovers(t *testing.T) {
	dir := t.TempDir()
	dir, _ = filepath.EvalSymlinks(dir)
	for _, d := range []string{"read", "write", "target"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "write"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	c := &confinement{abi: 7}
	c.allow(engine.PathUse{Path: dir + "/read"}, false, quietLog)
	c.allow(engine.PathUse{Path: dir + "/link", Access: engine.Write}, false, quietLog)
	c.allow(engine.PathUse{Path: dir + "/read/not/yet"}, false, quietLog)
	f := func(path string, access engine.Access, want bool) {
		t.Helper()
		if got := c.reaches(engine.PathUse{Path: dir + path, Access: access}); got != want {
			t.Errorf("%s %s: got %v, want %v", access, path, got, want)
		}
	}
	f("/read", engine.Read, true)
	f("/read/below/it", engine.Read, true)
	f("/read", engine.Socket, false)
	f("/read", engine.Write, false)
	f("/reading", engine.Read, false)
	f("/read/../write", engine.Read, true)
	f("/write", engine.Write, true)
	f("/write/x", engine.Socket, true)
	f("/link/x", engine.Read, true)
	f("/target", engine.Read, false)
	f("", engine.Read, false)
	for _, path := range []string{"/", "/etc"} {
		c := &confinement{abi: 7}
		if c.allow(engine.PathUse{Path: path, Access: engine.Write}, false, quietLog); len(c.paths) != 0 {
			t.Errorf("%s is allowed", path)
		}
		if c.allow(engine.PathUse{Path: filepath.Join(path, "is", "not", "there")}, false, quietLog); len(c.paths) != 0 {
			t.Errorf("%s is allowed for a directory that is missing in it", path)
		}
		if c.allow(engine.PathUse{Path: path}, true, quietLog); len(c.paths) != 1 {
			t.Errorf("%s: the operator's own word does not count", path)
		}
	}
}

func TestHintBesideDenied(t *testing.T) {
	var b strings.Builder
	log := newLog(&b, false)
	child := log.With("output", "o")
	child.Error("before", "err", syscall.EACCES)
	hintDenied(log, "restart it")
	child.Error("after", "err", syscall.EACCES)
	child.Info("after", "err", syscall.EACCES)
	child.Error("other", "err", syscall.ENOENT)
	if got := strings.Count(b.String(), `hint="restart it"`); got != 1 || !strings.Contains(b.String(), `after output=o err="permission denied" hint=`) {
		t.Errorf("got %s", b.String())
	}
}
