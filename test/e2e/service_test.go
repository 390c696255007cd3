package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command is a child that ends with the test, at the latest.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, name, args...)
}

// listening replaces the listener of a root.
func (r *root) listening(addresses string) {
	for _, name := range []string{"config/config.lua", "scripts/config.lua"} {
		if text := r.read(name); text != "" {
			r.write(name, strings.Replace(text, `listen = ""`, `listen = "`+addresses+`"`, 1))
		}
	}
}

// get asks the socket at path as a user, and returns the status and the body; status 0 is none.
func get(path string, uid int, url string) (status int, body string, err error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dialAs(path, uid) }}}
	resp, err := client.Get("http://localhost" + url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// dialAs connects on a thread that has become another user. The thread ends with it.
func dialAs(path string, uid int) (conn net.Conn, err error) {
	done := make(chan struct{}) // closed when conn and err are there
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: nobody else shall run on it
		if uid != os.Getuid() {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
				err = errno
				return
			}
		}
		conn, err = net.Dial("unix", path)
	}()
	<-done
	return conn, err
}

// TestAdminSocket: it is its owner's and root's, also under -p and in a chroot, replaces a stale one and is removed.
func TestAdminSocket(t *testing.T) {
	f := func(name string, owner int, args ...string) {
		t.Run(name, func(t *testing.T) {
			if len(args) > 0 {
				needRoot(t)
				args[len(args)-1] = strings.Replace(args[len(args)-1], "EMPTY", t.TempDir(), 1)
			}
			r := passThrough(t, "tail://$ROOT/eve.json<")
			r.listening("127.0.0.1:0, unix://$ROOT/run/admin.sock")
			r.forAll("log", "run")
			path := r.path("run/admin.sock")
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close() // stale
			p := r.start(args...)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v, %v, want mode 0600", info, err)
			}
			if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != owner {
				t.Errorf("it belongs to %d, want %d", st.Uid, owner)
			}
			if status, body, err := get(path, owner, "/healthz"); status != 200 || !strings.Contains(body, `"ok"`) {
				t.Errorf("its owner: %d, %s, %v", status, body, err)
			}
			if os.Getuid() == 0 {
				if status, _, err := get(path, 0, "/metrics"); status != 200 {
					t.Errorf("root: %d, %v", status, err)
				}
				if status, _, err := get(path, 12345, "/healthz"); status != 0 || err == nil {
					t.Errorf("another user: %d, %v", status, err)
				}
				os.Chmod(path, 0o666) // now only the credentials of the peer count
				if status, _, err := get(path, 12345, "/healthz"); status != 0 || err == nil {
					t.Errorf("another user, open file: %d, %v", status, err)
				}
				if status, _, err := get(path, owner, "/healthz"); status != 200 {
					t.Errorf("its owner after that: %d, %v", status, err)
				}
			}
			t.Setenv("STATE_DIRECTORY", t.TempDir()) // one of its own, or it would not start
			second := r.start()
			second.says("another process seems to listen", 0)
			second.stop()
			if status, _, err := get(path, owner, "/healthz"); status != 200 {
				t.Errorf("a second dragonfly has taken the socket: %d, %v", status, err)
			}
			p.stop()
			if _, err := os.Stat(path); err == nil {
				t.Error("the socket is still there")
			}
		})
	}
	f("plain", os.Getuid())
	f("user", 65534, "-p")
	f("both", 65534, "-p", "-c", "EMPTY")
}

// TestListenerRefusesForeignPages: a browser is no way around the missing authentication.
func TestListenerRefusesForeignPages(t *testing.T) {
	r := passThrough(t, "tail://$ROOT/eve.json<")
	r.listening("127.0.0.1:0")
	r.files("-- www/a.json --\n{}\n-- www/.hidden --\nsecret\n-- www/.d/a.json --\nsecret\n-- outside.json --\nsecret\n")
	os.Symlink(r.path("outside.json"), r.path("www/link.json"))
	os.Symlink("../outside.json", r.path("www/relative.json"))
	p := r.start()
	_, rest, _ := strings.Cut(p.text(), "HTTP listener address=")
	address, _, _ := strings.Cut(rest, "\n")
	_, port, _ := net.SplitHostPort(address)
	f := func(path, host, site string, want int) {
		t.Helper()
		req, _ := http.NewRequest("GET", "http://"+address+path, nil)
		req.Host = host
		if site != "" {
			req.Header.Set("Sec-Fetch-Site", site)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || strings.Contains(string(body), "secret") {
			t.Errorf("%s, Host %s, %s: got %d %s, want %d", path, host, site, resp.StatusCode, body, want)
		}
	}
	f("/healthz", address, "", 200)
	f("/healthz", "localhost:"+port, "", 200)
	f("/healthz", "LOCALHOST", "none", 200)
	f("/healthz", "[::1]:"+port, "same-origin", 200)
	f("/healthz", "127.8.9.1", "", 200)
	f("/ledger", "evil.test", "", 403)
	f("/ledger", "evil.test:"+port, "", 403)
	f("/metrics", "127.0.0.1.evil.test", "", 403)
	f("/metrics", "192.0.2.1", "", 403)
	f("/metrics", address, "cross-site", 403)
	f("/metrics", address, "same-site", 403)
	f("/www/a.json", address, "", 200)
	f("/www/.hidden", address, "", 404)
	f("/www/%2ehidden", address, "", 404)
	f("/www/.d/a.json", address, "", 404)
	f("/www/link.json", address, "", 404)
	f("/www/relative.json", address, "", 404)
	p.stop()
	if strings.Contains(p.text(), "no authentication") {
		t.Errorf("a warning for loopback: %s", p.text())
	}
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "127.0.0.1:0", "0.0.0.0:0", 1))
	p = r.start()
	if !strings.Contains(p.text(), "no authentication") {
		t.Errorf("no warning for all addresses: %s", p.text())
	}
	p.stop()
}

// TestServiceManagerIsTold plays systemd: the states come in order, also from a chroot that hides the socket.
func TestServiceManagerIsTold(t *testing.T) {
	f := func(name string, args ...string) {
		t.Run(name, func(t *testing.T) {
			if len(args) > 0 {
				needRoot(t)
				args[len(args)-1] = t.TempDir()
			}
			path := filepath.Join(t.TempDir(), "notify")
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			os.Chmod(path, 0o666)
			next := func(want string) {
				t.Helper()
				b := make([]byte, 1<<10)
				conn.SetReadDeadline(time.Now().Add(30 * time.Second))
				for {
					n, err := conn.Read(b)
					if err != nil {
						t.Fatalf("waiting for %s: %v", want, err)
					}
					got := string(b[:n])
					if strings.HasPrefix(got, want) {
						if want == "RELOADING=1" && !strings.Contains(got, "\nMONOTONIC_USEC=") {
							t.Errorf("got %q", got)
						}
						return
					}
					if got != "WATCHDOG=1" {
						t.Fatalf("got %q, want %q", got, want)
					}
				}
			}
			r := passThrough(t, "tail://$ROOT/eve.json<")
			r.forAll("log")
			t.Setenv("NOTIFY_SOCKET", path)
			t.Setenv("WATCHDOG_USEC", "60000")
			p := r.start(args...)
			next("READY=1")
			next("WATCHDOG=1")
			next("WATCHDOG=1")
			p.signal(syscall.SIGHUP)
			next("RELOADING=1")
			next("READY=1")
			r.write("config/config.lua", r.read("config/config.lua")+"stats_interval = 7\n")
			p.signal(syscall.SIGHUP) // now the engine is made anew
			next("RELOADING=1")
			next("READY=1")
			p.until("the new engine", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
			next("WATCHDOG=1")
			p.stop()
			next("STOPPING=1")
		})
	}
	f("plain")
	f("chroot", "-p", "-c", "")
}

// TestUnitFile lets systemd judge the unit that ships.
func TestUnitFile(t *testing.T) {
	text, err := os.ReadFile("../../docker/dragonfly.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Type=notify\n", "NoNewPrivileges=yes\n", "ProtectSystem=strict\n", "CapabilityBoundingSet=\n", "ExecReload=", "WatchdogSec=", "landlock_restrict_self"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "needs systemd-analyze")
	}
	unit := strings.NewReplacer("/usr/bin/dragonfly", binary, "User=dragonfly\n", "User=daemon\n", "Group=dragonfly\n", "Group=daemon\n").Replace(string(text))
	path := filepath.Join(t.TempDir(), "dragonfly.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "dragonfly.service:") {
		t.Errorf("verify: %v: %s", err, out)
	}
	out, err = command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=25", path).CombinedOutput()
	if strings.Contains(string(out), "nrecognized option") {
		skip(t, "this systemd-analyze cannot judge a file")
	}
	if err != nil {
		t.Errorf("more exposed than 2.5 of 10: %v: %s", err, out)
	}
}

// TestDirectoriesOfSystemd: the service's directories are those that systemd made.
func TestDirectoriesOfSystemd(t *testing.T) {
	r := passThrough(t, "dummy://")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1))
	base := t.TempDir()
	for _, d := range []string{"state", "logs", "run"} {
		os.Mkdir(filepath.Join(base, d), 0o755)
		t.Setenv(map[string]string{"state": "STATE", "logs": "LOGS", "run": "RUNTIME"}[d]+"_DIRECTORY", filepath.Join(base, d))
	}
	if code, out := r.run("-x"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	for _, name := range []string{"logs/out.json", "state/checkpoint.json"} {
		if _, err := os.Stat(filepath.Join(base, name)); err != nil {
			t.Error(err)
		}
	}
	if code, out := r.run("-x", "-l", r.path("log")); code != 0 || r.lines("log/out.json") != 1 {
		t.Errorf("-l goes before: exit %d: %s", code, out)
	}
}
