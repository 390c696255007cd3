package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dragonfly/test/parts"
)

// redisServer is a real redis-server on a unix socket, for one test.
type redisServer struct{ *parts.Redis }

func newRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	return &redisServer{parts.NewRedis(t, args...)}
}

func (s *redisServer) socket() string            { return s.Socket() }
func (s *redisServer) start()                    { s.Start() }
func (s *redisServer) kill()                     { s.Kill() }
func (s *redisServer) cli(args ...string) string { return s.CLI(args...) }

func redisCLI(t *testing.T, socket string, args ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", socket}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// counting is a root whose analyzer counts each event in Redis. settings go into config.lua.
func counting(t *testing.T, uri, settings string) *root {
	return newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "`+uri+`", script = "f", default_analyzer = "count"} }
analyzers = { {tag = "count", script = "count", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
`+settings+`
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/count.lua --
local hiredis = require("hiredis")
local conn
function setup() conn = assert(hiredis.connect()) end
function loop(e)
  local n, err = conn:command("INCR", "events")
  if type(n) ~= "number" then error(err or tostring(n)) end
  e.n = n
  dragonfly.output_event(default_output, e)
end
`)
}

func events(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"id":%d}`+"\n", i)
	}
	return b.String()
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRedisIsKilledInMidRun loses nothing while the server is away for a second.
func TestRedisIsKilledInMidRun(t *testing.T) {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r := counting(t, "tail://$ROOT/in.json<", `redis = "`+s.socket()+`"`)
	const n = 20_000
	p := r.start()
	r.append("in.json", events(n/2))
	p.until("some events", func() bool { return r.lines("log/out.json") > n/10 })
	s.kill()
	r.append("in.json", events(n/2))
	p.until("a warning", func() bool { return strings.Contains(p.text(), "redis does not answer") })
	time.Sleep(time.Second)
	s.start()
	p.until("all events", func() bool { return r.lines("log/out.json") == n })
	count := number(t, s.cli("GET", "events"))
	out := p.stop()
	if !strings.Contains(out, fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", n, n)) || !strings.Contains(out, "redis answers again") {
		t.Errorf("got\n%s", out)
	}
	if count < n || count > n+1 { // one command may have been in flight
		t.Errorf("the counter is %d, want %d", count, n)
	}
}

// TestRedisIsAwayWithoutPatience puts the events that met no server into the dead letter, and loses none.
func TestRedisIsAwayWithoutPatience(t *testing.T) {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r := counting(t, "tail://$ROOT/in.json<", `redis = "`+s.socket()+`" redis_wait = 0 breaker = "off"`)
	p := r.start()
	const part = 500
	r.append("in.json", events(part))
	p.until("the first part", func() bool { return r.lines("log/out.json") == part })
	s.kill()
	r.append("in.json", events(part))
	p.until("the dead letters", func() bool { return r.lines("log/dead-letter.json") == part })
	s.start()
	r.append("in.json", events(part))
	p.until("the last part", func() bool { return r.lines("log/out.json") == 2*part })
	out := p.stop()
	if !strings.Contains(out, fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered %d (script_error %d) + in flight 0", 3*part, 2*part, part, part)) {
		t.Errorf("got\n%s", out)
	}
	if dead := r.read("log/dead-letter.json"); strings.Count(dead, "redis "+s.socket()+": ") != part {
		t.Errorf("got %.500s", dead)
	}
	if got := s.cli("GET", "events"); got != fmt.Sprint(2*part) {
		t.Errorf("the counter is %s, want %d", got, 2*part)
	}
}

// TestRedisIsAwayForEver ends the process at drain_timeout; what was not finished comes again.
func TestRedisIsAwayForEver(t *testing.T) {
	for _, uri := range []string{"tail://$ROOT/in.json<", "file://$ROOT/in.json"} {
		scheme, _, _ := strings.Cut(uri, ":")
		t.Run(scheme, func(t *testing.T) {
			s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
			r := counting(t, uri, `redis = "`+s.socket()+`" redis_wait = "24h" drain_timeout = "2s"`)
			// the script forgives: it must not be told that redis failed only because the process ends
			r.write("analyzers/count.lua", strings.Replace(r.read("analyzers/count.lua"), `if type(n) ~= "number" then error(err or tostring(n)) end`, `if type(n) ~= "number" then return end`, 1))
			const n = 3000
			r.write("in.json", events(n))
			p := r.start()
			p.until("some events", func() bool { return r.lines("log/out.json") > 100 })
			s.kill()
			p.until("a warning", func() bool { return strings.Contains(p.text(), "redis does not answer") })
			time.Sleep(300 * time.Millisecond)
			start := time.Now()
			p.signal(syscall.SIGTERM)
			select {
			case err := <-p.ended:
				var exit *exec.ExitError
				if p.ended <- err; !errors.As(err, &exit) || exit.ExitCode() != 1 {
					t.Errorf("got %v, want exit code 1", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("does not end:\n%s", p.text())
			}
			if took := time.Since(start); took < 1900*time.Millisecond || took > 5*time.Second {
				t.Errorf("the end took %v, want 2s", took)
			}
			if out := p.text(); !strings.Contains(out, "drain_timeout reached after 2s: ") || !strings.Contains(out, "records are not finished") {
				t.Errorf("got\n%s", out)
			}
			if n := r.lines("log/dead-letter.json"); n != 0 {
				t.Errorf("%d dead letters", n)
			}
			s.start()
			p = r.start()
			seen := func() int {
				ids := map[string]bool{}
				for line := range strings.Lines(r.read("log/out.json")) {
					id, _, _ := strings.Cut(line, ",")
					ids[id] = true
				}
				return len(ids)
			}
			p.until("all events", func() bool { return seen() == n })
			if lines := r.lines("log/out.json"); lines > n+1000 {
				t.Errorf("%d events for %d records: the checkpoint was of no use", lines, n)
			}
			p.stop()
		})
	}
}

// TestReloadWhileRedisIsAway cuts the old pipeline's waits; the new one has connections again.
func TestReloadWhileRedisIsAway(t *testing.T) {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	r := counting(t, "tail://$ROOT/in.json<", `redis = "`+s.socket()+`" redis_wait = "24h" drain_timeout = "1s"`)
	p := r.start()
	r.append("in.json", events(100))
	p.until("the first part", func() bool { return r.lines("log/out.json") == 100 })
	r.write("scripts/config.lua", strings.Replace(r.read("scripts/config.lua"), `"file://out.json"`, `"file://out2.json"`, 1))
	r.write("analyzers/count.lua", strings.Replace(r.read("analyzers/count.lua"), `conn = assert(hiredis.connect())`, ``, 1))
	r.write("analyzers/count.lua", strings.Replace(r.read("analyzers/count.lua"), `local n, err`, `conn = conn or assert(hiredis.connect())
  local n, err`, 1))
	s.kill()
	r.append("in.json", events(100))
	p.until("a warning", func() bool { return strings.Contains(p.text(), "redis does not answer") })
	p.signal(syscall.SIGHUP) // the old pipeline does not drain
	p.until("the new configuration", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
	s.start()
	r.append("in.json", events(50))
	p.until("the second part, which was not finished, and the third", func() bool { return r.lines("log/out2.json") == 150 })
	p.stop()
	if n := r.lines("log/dead-letter.json"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	p = r.start()
	r.append("in.json", events(1))
	p.until("nothing comes twice", func() bool { return r.lines("log/out2.json") == 151 })
	p.stop()
}

func TestTermDuringAReloadThatWaitsForRedis(t *testing.T) {
	s := newRedis(t)
	r := counting(t, "tail://$ROOT/in.json<", `redis = "`+s.socket()+`" redis_wait = "24h" drain_timeout = "1s"`)
	p := r.start()
	s.kill()
	p.signal(syscall.SIGHUP)
	p.until("setup() waits", func() bool { return strings.Contains(p.text(), "redis does not answer") })
	start := time.Now()
	p.stop()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the end took %v", took)
	}
}

func TestStoreSurvivesRestarts(t *testing.T) {
	r := counting(t, "tail://$ROOT/in.json<", "")
	for i := range 3 {
		p := r.start()
		r.append("in.json", events(100))
		p.until("the events", func() bool { return strings.Contains(r.read("log/out.json"), fmt.Sprintf(`"n":%d}`, 100*(i+1))) })
		p.stop()
	}
	if n := r.lines("log/out.json"); n != 300 {
		t.Errorf("got %d events, want 300", n)
	}
}

// TestStoreSurvivesKill kills the process a hundred times while it counts. The file is never damaged, a transaction never
// torn, and the counter is never behind what it was when the file was written, which is at most an interval ago.
func TestStoreSurvivesKill(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "dummy://", data = {n = 1}, ["repeat"] = 1000000000, script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
store_save_interval = "50ms"
store_listen = "$ROOT/s"
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function setup()
  dragonfly.output_event("out", {n = tonumber(redis.command("GET", "n")) or 0, left = tonumber(redis.command("GET", "left")) or 0,
    right = tonumber(redis.command("HGET", "right", "n")) or 0})
end
function loop(e)
  local n = redis.command("INCR", "n")
  redis.transaction({{"INCR", "left"}, {"HINCRBY", "right", "n", 1}})
  redis.command("SET", "k" .. n % 5000, n)
end
`)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	type sample struct {
		n  int
		at time.Time
	}
	before := 0                // the least that the next run may begin with
	var behind []time.Duration // how old the file was at each kill
	for i := range 100 {
		os.Remove(r.path("log/out.json"))
		p := r.start()
		p.until("setup's event", func() bool { return r.lines("log/out.json") > 0 })
		var begin struct{ N, Left, Right int }
		if err := json.Unmarshal([]byte(r.read("log/out.json")), &begin); err != nil {
			t.Fatal(err)
		}
		if begin.N < before || begin.Left != begin.Right {
			t.Fatalf("run %d begins with %+v, want at least %d", i, begin, before)
		}
		before = begin.N
		c, err := net.Dial("unix", r.path("s"))
		if err != nil {
			t.Fatal(err)
		}
		replies := bufio.NewReader(c)
		var seen []sample
		for end := time.Now().Add(time.Duration(rng.IntN(300)) * time.Millisecond); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			io.WriteString(c, "GET n\r\n")
			if head, _ := replies.ReadString('\n'); head == "$-1\r\n" {
				continue // the first run has not counted yet; nothing follows
			}
			line, _ := replies.ReadString('\n')
			seen = append(seen, sample{number(t, strings.TrimSpace(line)), time.Now()})
		}
		p.cmd.Process.Kill()
		killed := time.Now()
		c.Close()
		err = <-p.ended
		p.ended <- err
		if strings.Contains(p.text(), "damaged") || strings.Contains(p.text(), "level=ERROR") {
			t.Fatalf("run %d:\n%s", i, p.text())
		}
		info, err := os.Stat(r.path("state/store"))
		if err != nil {
			continue // killed before the first snapshot
		}
		for _, s := range seen {
			if s.at.Before(info.ModTime().Add(-100 * time.Millisecond)) { // a snapshot takes that long at most
				before = max(before, s.n)
			}
		}
		if len(seen) > 0 && seen[0].at.Add(100*time.Millisecond).Before(killed) {
			behind = append(behind, killed.Sub(info.ModTime()))
		}
	}
	if files, _ := filepath.Glob(r.path("state/*damaged*")); len(files) > 0 {
		t.Errorf("got %v", files)
	}
	slices.Sort(behind)
	if before < 1000 || len(behind) < 20 || behind[len(behind)/2] > 150*time.Millisecond {
		t.Errorf("counted to %d; the file was so old: %v", before, behind)
	}
	t.Logf("counted to %d; the file was %v old in the median, %v at most", before, behind[len(behind)/2], behind[len(behind)-1])
}

// TestStoreListen looks into the embedded store with redis-cli while it runs.
func TestStoreListen(t *testing.T) {
	if _, err := exec.LookPath("redis-cli"); err != nil {
		skip(t, "redis-cli is missing")
	}
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "tail://$ROOT/in.json<", script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
store_listen = "$ROOT/s"
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function loop(e)
  e.receivers = redis.publish("news", e)
  redis.command("INCR", "events")
  dragonfly.output_event(default_output, e)
end
`)
	p := r.start()
	if info, err := os.Stat(r.path("s")); err != nil || info.Mode().Perm() != 0o600 || info.Mode()&os.ModeSocket == 0 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	sub := exec.Command("redis-cli", "-s", r.path("s"), "SUBSCRIBE", "news")
	pipe, err := sub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sub.Process.Kill(); sub.Wait() }()
	lines := bufio.NewScanner(pipe)
	read := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if !lines.Scan() || lines.Text() != w {
				t.Fatalf("got %q, want %q", lines.Text(), w)
			}
		}
	}
	read("subscribe", "news", "1")
	r.append("in.json", `{"id":1}`+"\n"+`{"id":2}`+"\n")
	read("message", "news", `{"id":1}`, "message", "news", `{"id":2}`)
	p.until("the events", func() bool { return r.lines("log/out.json") == 2 })
	if got := r.read("log/out.json"); got != `{"id":1,"receivers":1}`+"\n"+`{"id":2,"receivers":1}`+"\n" {
		t.Errorf("got %s", got)
	}
	if got := redisCLI(t, r.path("s"), "GET", "events"); got != "2" {
		t.Errorf("got %s", got)
	}
	if got := redisCLI(t, r.path("s"), "--scan"); got != "events" {
		t.Errorf("got %s", got)
	}
	p.stop()
	if _, err := os.Stat(r.path("s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestOldRedisSettings names the server as dragonfly-mle does.
func TestOldRedisSettings(t *testing.T) {
	s := newRedis(t)
	port := freePort(t)
	tcp := newRedis(t, "--port", port, "--bind", "127.0.0.1")
	for name, tc := range map[string]struct {
		settings string
		server   *redisServer
	}{
		"tcp":         {fmt.Sprintf(`redis_host = "127.0.0.1" redis_port = "%s"`, port), tcp},
		"port number": {fmt.Sprintf(`redis_host = "127.0.0.1" redis_port = %s`, port), tcp},
		"unix socket": {`redis_host = "` + s.socket() + `" redis_port = "-1"`, s},
	} {
		t.Run(name, func(t *testing.T) {
			r := counting(t, "file://$ROOT/in.json", tc.settings)
			r.write("in.json", events(10))
			tc.server.cli("DEL", "events")
			r.drained("read 10 = delivered 10 + dropped 0 + dead-lettered 0 + in flight 0")
			if got := tc.server.cli("GET", "events"); got != "10" {
				t.Errorf("got %s", got)
			}
		})
	}
}

// TestWrongPasswordIsToldAtTheStart ends the process with a message, not after a minute.
func TestWrongPasswordIsToldAtTheStart(t *testing.T) {
	s := newRedis(t, "--requirepass", "right")
	r := counting(t, "file://$ROOT/in.json", `redis = "`+s.socket()+`" redis_password = "wrong"`)
	r.write("in.json", events(1))
	start := time.Now()
	code, out := r.run("-x")
	if code == 0 || !strings.Contains(out, "WRONGPASS") || !strings.Contains(out, "redis_password") || time.Since(start) > 5*time.Second {
		t.Errorf("exit %d after %v: %s", code, time.Since(start), out)
	}
}

// TestStoreInAChroot saves to ROOT's state directory from an empty chroot, and as nobody.
func TestStoreInAChroot(t *testing.T) {
	needRoot(t)
	for _, args := range [][]string{{"-c", "EMPTY"}, {"-c", "EMPTY", "-p"}, {"-p"}, {"-c"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := counting(t, "tail://$ROOT/in.json<", `store_save_interval = "50ms"`)
			for _, d := range []string{"empty", "state", "log"} {
				os.MkdirAll(r.path(d), 0o777)
				os.Chmod(r.path(d), 0o777)
			}
			for d := r.dir; d != "/"; d = filepath.Dir(d) {
				os.Chmod(d, 0o755|0o022)
			}
			for i, a := range args {
				args[i] = strings.Replace(a, "EMPTY", r.path("empty"), 1)
			}
			for i := range 2 {
				p := r.start(args...)
				r.append("in.json", events(100))
				p.until("the events", func() bool { return r.lines("log/out.json") == 100*(i+1) })
				p.until("a snapshot", func() bool { return strings.Contains(r.read("state/store"), "events") })
				if out := p.stop(); strings.Contains(out, "level=ERROR") {
					t.Errorf("got\n%s", out)
				}
			}
			if out := r.read("log/out.json"); !strings.HasSuffix(out, `"n":200}`+"\n") {
				t.Errorf("got %s", out[max(0, len(out)-100):])
			}
		})
	}
}

// TestFullDiskUnderTheStore goes on counting when the store cannot be saved, says so, and shows it in /metrics.
func TestFullDiskUnderTheStore(t *testing.T) {
	needRoot(t)
	r := counting(t, "tail://$ROOT/in.json<", `store_save_interval = "20ms"`)
	r.write("scripts/config.lua", strings.Replace(r.read("scripts/config.lua"), `listen = ""`, `listen = "127.0.0.1:0"`, 1))
	r.write("analyzers/count.lua", strings.Replace(r.read("analyzers/count.lua"), "  e.n = n\n", `  e.n = n
  if n == 50 then conn:command("SET", "large", ("x"):rep(400000)) end
  if n == 150 then conn:command("DEL", "large") end
`, 1))
	os.Mkdir(r.path("state"), 0o755)
	if err := syscall.Mount("none", r.path("state"), "tmpfs", 0, "size=256k"); err != nil {
		skip(t, "cannot mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(r.path("state"), syscall.MNT_DETACH) })
	p := r.start()
	_, rest, _ := strings.Cut(p.text(), "HTTP listener address=")
	address, _, _ := strings.Cut(rest, "\n")
	metric := func(name string) int {
		resp, err := http.Get("http://" + strings.TrimSpace(address) + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, name+" "); ok {
				return number(t, strings.TrimSpace(v))
			}
		}
		t.Fatalf("no %s in\n%s", name, text)
		return 0
	}
	r.append("in.json", events(100))
	p.until("faults", func() bool { return metric("dragonfly_store_save_errors_total") > 5 })
	p.until("the events", func() bool { return r.lines("log/out.json") == 100 })
	if out := p.text(); strings.Count(out, "the store could not be saved") != 1 || !strings.Contains(out, "no space left on device: free space there") {
		t.Errorf("got\n%s", out)
	}
	r.append("in.json", events(100))
	p.until("a snapshot again", func() bool { return strings.Contains(p.text(), "the store is saved again") })
	if n := metric("dragonfly_store_saves_total"); n < 1 {
		t.Errorf("%d snapshots", n)
	}
	p.until("all events", func() bool { return r.lines("log/out.json") == 200 })
	p.stop()
	p = r.start()
	r.append("in.json", events(1))
	p.until("the next event", func() bool { return strings.HasSuffix(r.read("log/out.json"), `"n":201}`+"\n") })
	p.stop()
}

// TestStoreThatCannotBeOpened is told with the file and a remedy.
func TestStoreThatCannotBeOpened(t *testing.T) {
	r := counting(t, "file://$ROOT/in.json", "")
	r.write("in.json", events(1))
	if err := os.MkdirAll(r.path("state/store"), 0o755); err != nil { // a directory is in its place
		t.Fatal(err)
	}
	if code, out := r.run("-x"); code == 0 || !strings.Contains(out, r.path("state/store")+": ") {
		t.Errorf("exit %d: %s", code, out)
	}
}
