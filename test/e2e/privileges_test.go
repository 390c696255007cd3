package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestDefaultPipelineConfined runs the shipped pipeline with what ships, under each confinement: events arrive, USR1 rotates,
// HUP reloads, the state is saved, and the process has the rights that it should have.
func TestDefaultPipelineConfined(t *testing.T) {
	sample, err := os.ReadFile("../data/eve.json")
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, chroot, drop bool) {
		t.Run(name, func(t *testing.T) {
			if chroot || drop {
				needRoot(t)
			}
			r := newRoot(t, "")
			for _, dir := range []string{"scripts", "analyzers", "www"} {
				if err := os.CopyFS(r.path(dir), os.DirFS("../../"+dir)); err != nil {
					t.Fatal(err)
				}
			}
			os.WriteFile(r.path("eve.json"), sample, 0o644)
			r.forAll("log")
			t.Setenv("DRAGONFLY_EVE", "tail://"+r.path("eve*.json")+"<")
			t.Setenv("DRAGONFLY_LISTEN", "")
			var args []string
			if chroot {
				args = append(args, "-c", t.TempDir())
			}
			if drop {
				args = append(args, "-p")
			}
			p := r.start(args...)
			want := strings.Count(string(sample), "\n")
			p.until("all events", func() bool { return r.lines("log/events.json") >= want*9/10 })
			if got := p.status("NoNewPrivs"); got != "1" {
				t.Errorf("NoNewPrivs: got %s, want 1", got)
			}
			if drop {
				for field, want := range map[string]string{"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534",
					"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapBnd": "0000000000000000", "CapAmb": "0000000000000000"} {
					if got := p.status(field); got != want {
						t.Errorf("%s: got %s, want %s", field, got, want)
					}
				}
			}
			p.everyThread(drop)

			p.signal(syscall.SIGUSR1)
			p.until("rotated", func() bool { m, _ := filepath.Glob(r.path("log/events.json.*")); return len(m) == 1 })
			r.append("eve.json", string(sample))
			p.until("events in the new file", func() bool { return r.lines("log/events.json") >= want*9/10 })

			from := len(p.text())
			r.write("analyzers/write-to-log.lua", strings.Replace(r.read("analyzers/write-to-log.lua"), "function loop(event)", "function loop(event)\n  event.reloaded = true", 1))
			p.signal(syscall.SIGHUP)
			p.says("the new scripts run", from)
			r.append("eve.json", string(sample))
			p.until("events of the new script", func() bool { return strings.Contains(r.read("log/events.json"), `"reloaded":true`) })
			os.Rename(r.path("eve.json"), r.path("eve.old"))
			r.write("eve.json", `{"event_type":"flow","last":true}`+"\n")
			p.until("event after the rotation of the input", func() bool { return strings.Contains(r.read("log/events.json"), `"last":true`) })
			text := p.stop()
			if strings.Contains(text, "ERROR") || strings.Contains(text, "warning") || strings.Contains(text, "denied") {
				t.Errorf("something was denied:\n%s", text)
			}
			if !strings.Contains(r.read("state/checkpoint.json"), "eve.json") {
				t.Errorf("no checkpoint: %s", r.read("state/checkpoint.json"))
			}
			if info, err := os.Stat(r.path("state")); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("state directory: %v, %v, want 0700", info.Mode(), err)
			}
			if _, err := os.Stat(r.path("core")); err == nil {
				t.Error("a core file")
			}
		})
	}
	f("landlock", false, false)
	f("chroot", true, false)
	f("user", false, true)
	f("both", true, true)
}

// everyThread looks at the rights of all threads of the process, not only the first.
func (p *process) everyThread(drop bool) {
	p.t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	if len(tasks) < 2 {
		p.t.Errorf("%d threads", len(tasks))
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		if !strings.Contains(string(text), "NoNewPrivs:\t1\n") || drop && !strings.Contains(string(text), "Uid:\t65534\t65534\t65534\t65534\n") {
			p.t.Errorf("a thread has kept rights: %s", text)
		}
	}
}

func TestPrivilegesOfAUser(t *testing.T) {
	needRoot(t)
	r := passThrough(t, "tail://$ROOT/eve.json<")
	r.write("eve.json", "{}\n")
	r.forAll()
	// "daemon" is in every Debian, its number is 1
	code, out := r.run("-p", "daemon")
	if code == 0 || !strings.Contains(out, "user daemon (uid 1) cannot write to "+r.path("log")) || !strings.Contains(out, "chown -R 1:1 "+r.path("log")) {
		t.Fatalf("exit %d, want a refusal that names the log directory: %s", code, out)
	}
	if err := os.Chown(r.path("log"), 1, 1); err != nil {
		t.Fatal(err)
	}
	p := r.start("-p", "daemon:adm")
	p.until("event", func() bool { return r.lines("log/out.json") == 1 })
	if got := p.status("Uid"); got != "1 1 1 1" {
		t.Errorf("Uid: got %s", got)
	}
	if got := p.status("Gid"); got != "4 4 4 4" {
		t.Errorf("Gid: got %s", got)
	}
	from := len(p.text()) // the file was root's when it was opened; now it is opened again
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `uri = "file://out.json"`, `uri = "file://out.json", fsync = "batch"`, 1))
	p.signal(syscall.SIGHUP)
	p.says("the new configuration runs", from)
	r.append("eve.json", "{}\n")
	p.until("event after the reload", func() bool { return r.lines("log/out.json") == 2 })
	p.stop()
	for args, want := range map[string]string{"no-such-user": "there is no user", "root": "that is root", "daemon:no-such-group": "there is no group"} {
		if code, out := r.run("-p", args); code == 0 || !strings.Contains(out, want) {
			t.Errorf("-p %s: exit %d, want %q: %s", args, code, want, out)
		}
	}
}

// TestStateIsHandedOverWithoutFollowingLinks: who may write to the state directory must not get hold of another file by it.
func TestStateIsHandedOverWithoutFollowingLinks(t *testing.T) {
	needRoot(t)
	secret := secretFile(t)
	owner := func() uint32 {
		info, err := os.Stat(secret)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Uid
	}
	f := func(name string, link func(old, new string) error) {
		r := passThrough(t, "dummy://")
		r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1))
		r.forAll("log", "state")
		if err := link(secret, r.path("state/models")); err != nil {
			t.Fatal(err)
		}
		_, out := r.run("-x", "-p")
		if got := owner(); got != 0 {
			t.Errorf("%s: the file belongs to user %d now: %s", name, got, out)
		}
	}
	f("symbolic link", os.Symlink)
	f("hard link", os.Link)
}

func TestPrivilegesWithoutRoot(t *testing.T) {
	needRoot(t)
	bin, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	run := func(uid uint32, args ...string) (string, error) {
		r := passThrough(t, "dummy://")
		r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1))
		r.forAll("log", "state", "empty")
		other := r.path("dragonfly") // the binary of the tests is for their user only
		if err := os.WriteFile(other, bin, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := command(t, other, append([]string{"-r", r.dir, "-x"}, args...)...)
		cmd.Dir = r.dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(65534, "-p"); err != nil { // it is nobody already: nothing to drop
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run(1, "-p"); err == nil || !strings.Contains(out, "only root may drop privileges") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run(1, "-c", "empty"); err == nil || !strings.Contains(out, "only root may") {
		t.Errorf("%v: %s", err, out)
	}
}
