package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const countingPipeline = `
-- config/config.lua --
listen = ""
store_save_interval = "50ms"
$STORE
inputs = { {tag = "eve", uri = "file://$ROOT/in.json", script = "filter.lua", default_analyzer = "count", checkpoint = false} }
analyzers = { {tag = "count", script = "count.lua", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
-- filter/filter.lua --
function setup() end
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzer/count.lua --
function setup() conn = hiredis.connect() assert(conn:command("PING") == hiredis.status.PONG) end
function loop(e)
  local n = conn:command_line("INCR count:" .. e.kind)
  assert(type(n) == "number", tostring(n))
  conn:command("ZINCRBY", "bytes", e.n % 7, "host" .. e.n % 100)
  e.count = n
  dragonfly.output_event(default_output, e)
end
`

func counting(t *testing.T, store string, events int) *root {
	r := newRoot(t, strings.ReplaceAll(countingPipeline, "$STORE", store))
	var in strings.Builder
	for i := range events {
		fmt.Fprintf(&in, "{\"kind\":\"k%d\",\"n\":%d}\n", i%10, i)
	}
	r.write("in.json", in.String())
	return r
}

// redisCLI asks a server on a unix socket.
func redisCLI(t *testing.T, socket string, args ...string) string {
	t.Helper()
	text, err := exec.Command("redis-cli", append([]string{"-s", socket}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("redis-cli: %v: %s", err, text)
	}
	return strings.TrimSpace(string(text))
}

func needRedis(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		skip(t, "redis-server is missing")
	}
}

// socketDir is a short directory: paths of unix sockets have about 100 bytes.
func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "df-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestCountersSurviveARestart(t *testing.T) {
	r := counting(t, "", 1000)
	for i := 1; i <= 3; i++ {
		r.drained("read 1000 = delivered 1000")
		if want := fmt.Sprintf(`"count":%d}`, i*100); !strings.Contains(r.read("log/out.json"), want) {
			t.Errorf("run %d: no event has %s", i, want)
		}
	}
}

// TestStoreSurvivesKills kills the engine 100 times while it counts. The store must never be damaged, and after each start hold
// at least what it had two seconds before the kill: the save interval (50 ms) and the time that a save may take on a busy disk.
func TestStoreSurvivesKills(t *testing.T) {
	const behind = 2 * time.Second
	r := counting(t, "", 300_000)
	socket := filepath.Join(socketDir(t), "s")
	r.write("config/config.lua", r.read("config/config.lua")+fmt.Sprintf("\nstore_listen = %q\n", socket))
	get := func(c net.Conn) (int, error) {
		c.SetDeadline(time.Now().Add(5 * time.Second))
		fmt.Fprintf(c, "GET count:k0\r\n")
		b := make([]byte, 64)
		n, err := c.Read(b)
		if err != nil {
			return 0, err
		}
		_, text, _ := strings.Cut(string(b[:n]), "\r\n")
		count, _ := strconv.Atoi(strings.TrimSpace(text)) // nil is 0
		return count, nil
	}
	type sample struct {
		at    time.Time
		count int
	}
	saved, floors := 0, 0 // what the next start must have; how often that was more than before
	for i := range 100 {
		cmd := exec.Command(binary, "-r", r.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		var c net.Conn
		for end := time.Now().Add(10 * time.Second); c == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("start %d: nobody listens", i)
			}
			c, _ = net.Dial("unix", socket)
		}
		life := time.Duration(i*37%150) * time.Millisecond
		if i%12 == 0 {
			life = behind + 300*time.Millisecond
		}
		var samples []sample
		for end := time.Now().Add(life); len(samples) == 0 || time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			n, err := get(c)
			if err != nil {
				t.Fatalf("start %d: %v", i, err)
			}
			samples = append(samples, sample{time.Now(), n})
		}
		killed := time.Now()
		cmd.Process.Kill()
		cmd.Wait()
		c.Close()
		if first := samples[0].count; first < saved {
			t.Fatalf("start %d: the counter is %d, two seconds before the kill it was %d", i, first, saved)
		}
		for _, s := range samples {
			if killed.Sub(s.at) >= behind && s.count > saved {
				saved = s.count
				floors++
			}
		}
		if damaged, _ := filepath.Glob(r.path("state/store.damaged*")); len(damaged) > 0 {
			t.Fatalf("kill %d: the store is damaged", i)
		}
		os.Remove(r.path("log/out.json"))
	}
	if floors < 8 {
		t.Errorf("only %d kills could show anything", floors)
	}
	t.Logf("counted to %d over the kills", saved)
}

func TestRedisCLILooksIntoTheStore(t *testing.T) {
	needRedis(t)
	socket := filepath.Join(socketDir(t), "store.sock")
	r := counting(t, fmt.Sprintf("store_listen = %q", socket), 1000)
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `listen = ""`, `listen = "127.0.0.1:0"`, 1))
	p := r.start()
	defer p.stop()
	p.until("the events", func() bool { return r.lines("log/out.json") == 1000 })
	if got := redisCLI(t, socket, "GET", "count:k3"); got != "100" {
		t.Errorf("GET: %s", got)
	}
	if got := redisCLI(t, socket, "--scan", "--pattern", "count:*"); strings.Count(got, "count:k") != 10 {
		t.Errorf("--scan: %s", got)
	}
	if got := redisCLI(t, socket, "INFO", "keyspace"); !strings.Contains(got, "keys=11") {
		t.Errorf("INFO: %s", got)
	}
	if got := redisCLI(t, socket, "ZREVRANGE", "bytes", "0", "0"); !strings.HasPrefix(got, "host") {
		t.Errorf("ZREVRANGE: %s", got)
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if got := redisCLI(t, socket, "EVAL", "return redis.call('INCR', KEYS[1])", "1", "count:k3"); got != "101" {
		t.Errorf("EVAL: %s", got)
	}
}

// TestRedisGoesAway stops a real Redis for some seconds in mid-run: no event is lost, and each is counted.
func TestRedisGoesAway(t *testing.T) {
	needRedis(t)
	dir := socketDir(t)
	socket := filepath.Join(dir, "redis.sock")
	start := func() *exec.Cmd {
		cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", dir, "--appendonly", "yes", "--appendfsync", "no", "--save", "")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd
	}
	server := start()
	for end := time.Now().Add(10 * time.Second); exec.Command("redis-cli", "-s", socket, "PING").Run() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("redis-server does not answer")
		}
	}
	const events = 40_000
	r := counting(t, fmt.Sprintf("redis = %q", socket), events)
	p := r.start("-x")
	p.until("the first events", func() bool { return r.lines("log/out.json") > 2000 })
	server.Process.Signal(syscall.SIGTERM) // it writes what it has
	server.Wait()
	time.Sleep(3 * time.Second)
	if n := r.lines("log/out.json"); n >= events {
		t.Fatal("the run was over before redis went away")
	}
	start()
	output := p.end(time.Minute)
	if !strings.Contains(output, fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", events, events)) {
		t.Errorf("the ledger: %s", output)
	}
	if !strings.Contains(output, "redis does not answer") || !strings.Contains(output, "redis answers again") {
		t.Errorf("nobody was told: %s", output)
	}
	sum := 0
	for i := range 10 {
		n, _ := strconv.Atoi(redisCLI(t, socket, "GET", fmt.Sprintf("count:k%d", i)))
		sum += n
	}
	if sum < events || sum > events+10 { // a command whose connection broke is carried out again
		t.Errorf("redis counted %d of %d", sum, events)
	}
}

// TestRedisIsGoneForGood: the script decides what becomes of the events, and TERM ends a process that waits.
func TestRedisIsGoneForGood(t *testing.T) {
	nowhere := filepath.Join(socketDir(t), "nobody.sock")
	t.Run("no wait", func(t *testing.T) {
		r := counting(t, fmt.Sprintf("redis = %q redis_wait = 0", nowhere), 100)
		r.write("analyzer/count.lua", `function setup() end
function loop(e)
  if e.n % 2 == 0 then redis.call("INCR", "n") end -- raises
  local n, message = redis.command("INCR", "n")
  e.problem = message
  dragonfly.output_event(default_output, e)
end`)
		code, output := r.run("-x")
		if code != 0 || !strings.Contains(output, "read 100 = delivered 50 + dropped 0 + dead-lettered 50 (script_error 50) + in flight 0") {
			t.Errorf("%d: %s", code, output)
		}
		if dead := r.read("log/dead-letter.json"); strings.Count(dead, `"reason":"script_error"`) != 50 || !strings.Contains(dead, "nobody.sock") {
			t.Errorf("%.500s", dead)
		}
		if strings.Count(r.read("log/out.json"), `"problem":"redis `) != 50 {
			t.Errorf("%.300s", r.read("log/out.json"))
		}
	})
	t.Run("TERM while it waits", func(t *testing.T) {
		r := counting(t, fmt.Sprintf("redis = %q redis_wait = \"1h\" drain_timeout = \"1s\"", nowhere), 100)
		r.write("analyzer/count.lua", `function setup() end
function loop(e) e.n = redis.call("INCR", "n") dragonfly.output_event(default_output, e) end`)
		p := r.start()
		p.until("the wait", func() bool { return strings.Contains(p.text(), "redis does not answer") })
		begun := time.Now()
		p.signal(syscall.SIGTERM)
		output := p.end(20 * time.Second)
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v to end", took)
		}
		if !strings.Contains(output, "drain_timeout") {
			t.Errorf("%s", output)
		}
	})
}

// end waits for the end of a process, whatever its exit code.
func (p *process) end(limit time.Duration) string {
	p.t.Helper()
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(limit):
		p.t.Fatalf("does not end\n%s", p.text())
	}
	return p.text()
}
