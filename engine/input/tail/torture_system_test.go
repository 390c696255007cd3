package tail

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

var systemCases = []tortureCase{
	// A symlink that is pointed at another file: the old target is read to its end, the new one from its start.
	{"symlink swap", "", func(r *torture) {
		r.check(os.Mkdir(r.path("a"), 0o755))
		r.check(os.Mkdir(r.path("b"), 0o755))
		r.append("a/one", line(0))
		r.append("b/two", line(1))
		r.check(os.Symlink("a/one", r.path("eve.json")))
		r.start()
		r.want(line(0))
		r.check(os.Symlink("b/two", r.path("eve.new")))
		r.append("a/one", line(2))
		r.rename("eve.new", "eve.json")
		r.want(events(0, 3)...)
		r.stop()
		r.append("b/two", line(3)) // and the same while down
		r.append("a/three", line(4))
		r.check(os.Symlink("a/three", r.path("eve.new")))
		r.rename("eve.new", "eve.json")
		r.start()
		r.want(events(0, 5)...)
		r.counted("files_lost_total", 0)
	}},
	// The rotated files of a symlink's target are looked for where the target is.
	{"symlink whose target is rotated", "", func(r *torture) {
		r.check(os.Mkdir(r.path("data"), 0o755))
		r.append("data/log", line(0))
		r.check(os.Symlink("data/log", r.path("eve.json")))
		r.start()
		r.want(line(0))
		r.append("data/log", line(1))
		r.rename("data/log", "data/log.2")
		r.append("data/log.1", line(2)) // a second rotation that nobody saw
		r.append("data/log", line(3))
		r.want(events(0, 4)...)
		r.stop()
		r.append("data/log", line(4))
		r.rename("data/log", "data/log.0")
		r.append("data/log", line(5))
		r.start()
		r.want(events(0, 6)...)
		r.counted("files_lost_total", 0)
	}},
	// It is waited for like a file that is not there.
	{"dangling symlink that becomes valid", "", func(r *torture) {
		r.check(os.Symlink("later", r.path("eve.json")))
		r.start()
		r.told("waiting for the file to appear")
		r.append("later", events(0, 2)...)
		r.want(events(0, 2)...)
	}},
	// It is read from its start, without "<" too.
	{"file that appears later", "eve.json", func(r *torture) {
		r.start()
		r.told("waiting for the file to appear")
		r.append("eve.json", events(0, 2)...)
		r.want(events(0, 2)...)
	}},
	// The same for a directory.
	{"directory that appears later", "sub/deep/eve.json", func(r *torture) {
		r.start()
		r.told("waiting for the file to appear")
		r.check(os.MkdirAll(r.path("sub/deep"), 0o755))
		r.append("sub/deep/eve.json", events(0, 2)...)
		r.want(events(0, 2)...)
	}},
	// A directory that comes after the start, such as a late mount, goes on at the checkpoint.
	{"directory that appears after a restart", "sub/eve.json<", func(r *torture) {
		r.check(os.Mkdir(r.path("sub"), 0o755))
		r.append("sub/eve.json", events(0, 5)...)
		r.start()
		r.want(events(0, 5)...)
		r.stop()
		r.rename("sub", "away")
		r.start()
		r.told("waiting for the file to appear")
		if err := r.save(); err != nil {
			r.Error(err)
		}
		r.append("away/eve.json", line(5))
		r.rename("away", "sub")
		r.want(events(0, 6)...)
		r.counted("files_lost_total", 0)
	}},
	// What was unread of the old directory's file is read from the open file, and the new directory is followed.
	{"directory deleted and made again", "sub/eve.json<", func(r *torture) {
		r.check(os.Mkdir(r.path("sub"), 0o755))
		r.append("sub/eve.json", events(0, 5)...)
		r.start()
		r.want(events(0, 5)...)
		for n := 5; n < 25; n += 5 {
			r.check(os.RemoveAll(r.path("sub")))
			r.check(os.Mkdir(r.path("sub"), 0o755))
			r.append("sub/eve.json", events(n, n+5)...)
			r.want(events(0, n+5)...)
		}
	}},
	// Likewise when it is renamed.
	{"directory renamed and made again", "sub/eve.json<", func(r *torture) {
		r.check(os.Mkdir(r.path("sub"), 0o755))
		r.append("sub/eve.json", events(0, 5)...)
		r.start()
		r.want(events(0, 5)...)
		r.rename("sub", "old")
		r.check(os.Mkdir(r.path("sub"), 0o755))
		r.append("old/eve.json", line(5))
		r.append("sub/eve.json", line(6))
		r.want(events(0, 7)...)
		r.append("sub/eve.json", line(7))
		r.want(events(0, 8)...)
	}},
	// An open file needs no permission.
	{"permission lost and regained while running", "", func(r *torture) {
		r.other = true
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		r.check(os.Chmod(r.path("eve.json"), 0))
		f, err := os.OpenFile(r.path("eve.json"), os.O_APPEND|os.O_WRONLY, 0)
		if errors.Is(err, os.ErrPermission) {
			r.needsRoot("to write what it may not")
		}
		r.check(err)
		defer f.Close()
		f.WriteString(line(1))
		r.want(events(0, 2)...)
		r.check(os.Chmod(r.path("eve.json"), 0o644))
		f.WriteString(line(2))
		r.want(events(0, 3)...)
	}},
	// It is told once, with the remedy, and tried again; the reading then goes on at the checkpoint.
	{"permission missing at the start", "", func(r *torture) {
		r.other = true
		r.append("eve.json", events(0, 3)...)
		r.start()
		r.want(events(0, 3)...)
		r.stop()
		r.append("eve.json", line(3))
		r.check(os.Chmod(r.path("eve.json"), 0))
		r.start()
		r.told("let the user of this process read it")
		r.until("looked again", func() bool { return r.count("files_unreadable_total") == 1 })
		r.check(r.save())
		r.check(os.Chmod(r.path("eve.json"), 0o644))
		r.want(events(0, 4)...)
		r.told("let the user of this process read it")
		r.counted("files_lost_total", 0)
	}},
	// Without a free inotify instance it polls, says so once with the remedy, and loses nothing.
	{"inotify limit, injected", "", func(r *torture) {
		r.prepare = func(in *input) {
			in.newWatcher = func() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }
		}
		polled(r)
	}},
	// The same with a limit of the kernel, in a user namespace of its own.
	{"inotify limit", "", func(r *torture) {
		const child = "TAIL_TEST_NAMESPACE"
		if os.Getenv(child) != "" {
			r.check(os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("0"), 0))
			polled(r)
			return
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestTorture$/^inotify_limit$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			if os.Getenv("CI") == "true" {
				r.Fatalf("needs user namespaces: %v", err)
			}
			r.Skipf("needs user namespaces: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "--- PASS: TestTorture/inotify_limit") {
			r.Errorf("%v\n%s", err, out)
		}
	}},
	// A network file system tells the kernel nothing: the polling finds everything.
	{"no events ever", "", func(r *torture) {
		r.prepare = func(in *input) { in.places[0].watched = true } // so it never asks
		r.append("eve.json", line(0))
		r.start()
		r.want(line(0))
		n := 1
		for range 10 {
			r.append("eve.json", line(n))
			r.rename("eve.json", "eve.json.1")
			r.append("eve.json", line(n+1))
			n += 2
			r.want(events(0, n)...)
		}
		r.truncate("eve.json", 0)
		r.append("eve.json", line(n))
		r.want(events(0, n+1)...)
	}},
}

// polled checks an input that gets no notifications.
func polled(r *torture) {
	r.append("eve.json", line(0))
	r.start()
	r.want(line(0))
	r.told("no notification of changes from the kernel, polling instead")
	r.told("raise fs.inotify.max_user_instances")
	r.counted("directories_polled_total", 1)
	r.rename("eve.json", "eve.json.1")
	r.append("eve.json.1", line(1))
	r.append("eve.json", line(2))
	r.want(events(0, 3)...)
	begun := time.Now()
	r.append("eve.json", line(3))
	r.want(events(0, 4)...)
	r.Logf("a line came after %v", time.Since(begun))
}
