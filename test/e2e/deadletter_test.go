package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// boom is an analyzer that raises on every third event, calm the same when it is mended.
const (
	boom = "function loop(e)\n  if e.n % 3 == 0 then error(\"boom \" .. e.n) end\n  dragonfly.output_event(default_output, e)\nend\n"
	calm = "function loop(e)\n  dragonfly.output_event(default_output, e)\nend\n"
)

// lettersRoot is a root whose analyzer is boom. The input reads in.json: uri has its scheme.
func lettersRoot(t *testing.T, uri string) *root {
	return newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "eve", uri = "`+uri+`", from = "start", script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function loop(e)
  e.filtered = (e.filtered or 0) + 1
  dragonfly.analyze_event(default_analyzer, e)
end
-- analyzers/a.lua --
`+boom)
}

func tailRoot(t *testing.T) *root { return lettersRoot(t, "tail://$ROOT/in.json") }

func fileRoot(t *testing.T) *root {
	r := lettersRoot(t, "file://$ROOT/in.json")
	r.write("scripts/config.lua", strings.Replace(r.read("scripts/config.lua"), `from = "start"`, `checkpoint = true`, 1))
	return r
}

func numberedEvents(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, "{\"n\":%d}\n", n)
	}
	return b.String()
}

// letters runs dragonfly dead-letter and wants its exit code.
func (r *root) letters(code int, args ...string) string {
	r.t.Helper()
	got, output := r.run(append([]string{"dead-letter"}, args...)...)
	if got != code {
		r.t.Fatalf("dead-letter %v: exit %d, want %d\n%s", args, got, code, output)
	}
	return output
}

// listed is what ls --json --all says, by type.
type listed struct {
	Type, ID, Status, Stage, Reason, Error, File string
	Replay                                       string `json:"replay_of"`
	Count, Open, Pending, Replayed, Dropped      int
}

func (r *root) list(kind string, args ...string) (list []listed) {
	r.t.Helper()
	for line := range strings.Lines(r.letters(0, append([]string{"ls", "--json", "--all"}, args...)...)) {
		var l listed
		if strings.HasPrefix(line, "dragonfly: ") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			r.t.Fatalf("%s: %v", line, err)
		}
		if l.Type == kind {
			list = append(list, l)
		}
	}
	return list
}

var eventNumber = regexp.MustCompile(`"n":(\d+)`)

// times returns how often the event with each number is in a file.
func (r *root) times(name string) map[int]int {
	m := map[int]int{}
	for line := range strings.Lines(r.read(name)) {
		if f := eventNumber.FindStringSubmatch(line); f != nil {
			n, _ := strconv.Atoi(f[1])
			m[n]++
		}
	}
	return m
}

// once wants each of the events from 1 to n once in out.json.
func (r *root) once(n int) {
	r.t.Helper()
	times := r.times("log/out.json")
	for i := 1; i <= n; i++ {
		if times[i] != 1 {
			r.t.Errorf("event %d was delivered %d times", i, times[i])
		}
	}
	if len(times) != n {
		r.t.Errorf("%d events were delivered, want %d", len(times), n)
	}
}

func TestDeadLettersAreMendedAndReplayed(t *testing.T) {
	r := tailRoot(t)
	r.write("in.json", numberedEvents(1, 30)+"\xff\x00 junk\n"+"{\"n\":33,\"latin\":\"caf\xe9\"}\n\"text\"\n")
	p := r.start()
	p.until("dead letters", func() bool { return r.lines("log/dead-letter.json") == 13 && r.lines("log/out.json") == 20 })
	out := r.letters(0, "ls")
	for _, want := range []string{"script_error  analyzer a", "malformed     filter eve", "not_object    filter eve", "analyzers/a.lua:2: boom 33"} {
		if !strings.Contains(out, want) {
			t.Errorf("ls lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "STATUS") {
		t.Errorf("ls lists entries that nobody asked for:\n%s", out)
	}
	last := r.list("entry", "--grep", "caf")
	if len(last) != 1 || last[0].Status != "open" || last[0].Stage != "analyzer a" {
		t.Fatalf("got %+v", last)
	}
	out = r.letters(0, "show", last[0].ID)
	for _, want := range []string{"analyzers/a.lua:2 is now: if e.n % 3 == 0", "offset ", `"latin": "caf\xe9",`, "SIGHUP", "eve tail://"} {
		if !strings.Contains(out, want) {
			t.Errorf("show lacks %q:\n%s", want, out)
		}
	}
	if out := r.letters(0, "show", "--reason", "malformed"); !strings.Contains(out, `\xff\x00 junk`) || strings.Contains(out, "\x00") {
		t.Errorf("show of junk: %q", out)
	}
	if out := r.letters(0, "ls", "-n", "2", "--stage", "A"); strings.Count(out, "open      analyzer a") != 2 {
		t.Errorf("ls -n 2: %s", out)
	}
	r.write("analyzers/a.lua", calm)
	p.signal(syscall.SIGHUP)
	p.until("reload", func() bool { return strings.Contains(p.text(), "the new scripts run") })
	out = r.letters(0, "replay", "--reason", "script_error", "--wait=60s")
	if !strings.Contains(out, "11 entries (analyzer a 11); the engine takes them up now") || !strings.Contains(out, "read 11 = delivered 11 + dropped 0 + dead-lettered again 0") {
		t.Errorf("replay: %s", out)
	}
	times := r.times("log/out.json")
	for n := 1; n <= 30; n++ {
		if times[n] != 1 {
			t.Errorf("event %d was delivered %d times", n, times[n])
		}
	}
	if !strings.Contains(r.read("log/out.json"), "{\"n\":33,\"latin\":\"caf\xe9\",\"filtered\":1}\n") || len(times) != 31 {
		t.Errorf("got %s", r.read("log/out.json"))
	}
	if out := r.letters(1, "replay", "--reason", "script_error"); !strings.Contains(out, "11 entries left as they are: they were replayed") {
		t.Errorf("a second replay: %s", out)
	}
	out = r.letters(1, "replay", "--all", "--wait=60s") // what is no JSON object fails again
	if !strings.Contains(out, "dead-lettered again 2 (malformed 1, not_object 1)") {
		t.Errorf("replay --all: %s", out)
	}
	again := r.list("entry", "--status", "open")
	if len(again) != 2 || len(again[0].Replay) != 12 || again[0].Stage != "filter eve" {
		t.Errorf("failed again: %+v", again)
	}
	if dead := r.read("log/dead-letter.json"); strings.Count(dead, `"event":"`+"\xff"+`\u0000 junk"}`+"\n") != 2 || strings.Count(dead, `"event":"\"text\""}`) != 2 {
		t.Errorf("the bytes have changed: %q", dead)
	}
	if out := r.letters(0, "replay", "--again", last[0].ID, "--wait=60s"); !strings.Contains(out, "delivered 1 ") {
		t.Errorf("--again: %s", out)
	}
	out = p.stop()
	if !strings.Contains(out, "ledger: replay: read 14 = delivered 12 + dropped 0 + dead-lettered 2 (malformed 1, not_object 1) + in flight 0") {
		t.Errorf("ledger: %s", out)
	}
}

func TestDeadLettersAreReplayedAtTheNextStart(t *testing.T) {
	r := fileRoot(t)
	r.write("in.json", numberedEvents(1, 30))
	r.drained("dead-lettered 10")
	os.Rename(r.path("log/dead-letter.json"), r.path("log/dead-letter.json.20261120.120000")) // as SIGUSR1 does
	r.append("in.json", numberedEvents(31, 60))
	r.drained("read 30 = delivered 20 + dropped 0 + dead-lettered 10")
	if text, err := exec.Command("gzip", r.path("log/dead-letter.json.20261120.120000")).CombinedOutput(); err != nil {
		skip(t, "gzip: %v: %s", err, text)
	}
	r.append("log/dead-letter.json", "damaged\n{\"time\":\"2026-11-21T")
	if got := r.list("summary"); len(got) != 1 || got[0].Count != 20 || got[0].Open != 20 {
		t.Errorf("got %+v", got)
	}
	if out := r.letters(0, "ls"); !strings.Contains(out, "dead-letter.json:11: ") {
		t.Errorf("the damaged line is not told: %s", out)
	}
	// the analyzer is gone: told before, and nothing happens
	config := r.read("scripts/config.lua")
	r.write("scripts/config.lua", strings.ReplaceAll(strings.ReplaceAll(config, `tag = "a"`, `tag = "b"`), `default_analyzer = "a"`, `default_analyzer = "b"`))
	if out := r.letters(1, "replay", "--all"); !strings.Contains(out, "nothing is replayed") || !strings.Contains(out, "20 entries left as they are: config.lua has no analyzer a (--from filter") {
		t.Errorf("got %s", out)
	}
	if out := r.letters(0, "replay", "--grep", `"n":3,`, "--from", "filter"); !strings.Contains(out, "1 entries (filter eve 1); no engine runs: they are replayed at its next start") {
		t.Errorf("got %s", out)
	}
	r.write("analyzers/a.lua", calm)
	r.drained("ledger: replay: read 1 = delivered 1 ")
	if got := r.read("log/out.json"); !strings.HasSuffix(got, "{\"n\":3,\"filtered\":2}\n") {
		t.Errorf("got %s", got)
	}
	// it goes while the request waits: told by the engine
	r.write("scripts/config.lua", config)
	r.letters(0, "replay", "--all", "--since", "7d")
	if got := r.list("summary"); got[0].Pending != 19 || got[0].Replayed != 1 {
		t.Errorf("got %+v", got)
	}
	if out := r.letters(1, "replay", "--all", "--again", "--grep", `"n":6,`); !strings.Contains(out, "asked for and is not finished") {
		t.Errorf("got %s", out)
	}
	r.write("scripts/config.lua", strings.ReplaceAll(strings.ReplaceAll(config, `tag = "a"`, `tag = "b"`), `default_analyzer = "a"`, `default_analyzer = "b"`))
	r.drained("ledger: replay: read 19 = delivered 0 + dropped 0 + dead-lettered 19 (no_stage 19)")
	r.write("scripts/config.lua", config)
	r.letters(0, "replay", "--reason", "no_stage")
	r.drained("ledger: replay: read 19 = delivered 19 ")
	r.once(60)
}

func TestDeadLettersOverKills(t *testing.T) {
	r := fileRoot(t)
	const n = 30000
	r.write("in.json", numberedEvents(1, n))
	r.drained("dead-lettered 10000")
	r.write("analyzers/a.lua", calm)
	for i := range 12 { // the command
		cmd := exec.Command(binary, "-r", r.dir, "dead-letter", "replay", "--grep", fmt.Sprint(i%3))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+i*7) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	if code, out := r.run("dead-letter", "replay", "--all"); code != 0 && !strings.Contains(out, "nothing is replayed") && !strings.Contains(out, "left as they are") {
		t.Fatal(out)
	}
	if got := r.list("summary"); got[0].Pending != n/3 {
		t.Fatalf("got %+v", got)
	}
	kills := 0
	for { // the engine
		p := r.start("-x")
		had, kill := r.lines("log/out.json"), kills < 3
		p.until("some of it", func() bool {
			select {
			case err := <-p.ended:
				p.ended <- err
				return true
			default:
				return kill && r.lines("log/out.json") >= had+1500
			}
		})
		p.cmd.Process.Kill()
		err := <-p.ended
		p.ended <- err
		if err == nil {
			break
		}
		kills++
	}
	twice, times := 0, r.times("log/out.json")
	for i := 1; i <= n; i++ {
		if times[i] == 0 {
			t.Errorf("event %d was not delivered", i)
		}
		twice += max(times[i]-1, 0)
	}
	if most := kills * 256; twice > most {
		t.Errorf("%d events came twice after %d kills, want %d at most", twice, kills, most)
	}
	t.Logf("%d kills, %d events came twice", kills, twice)
	if got := r.list("summary"); len(got) != 1 || got[0].Replayed != n/3 {
		t.Errorf("got %+v", got)
	}
	if left, _ := filepath.Glob(r.path("state/replay/*.json")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDeadLettersAreDroppedAndPurgedWhileTheEngineWrites(t *testing.T) {
	r := tailRoot(t)
	r.write("in.json", "")
	p := r.start()
	const rounds, each = 12, 900
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range rounds {
			r.append("in.json", numberedEvents(i*each+1, (i+1)*each))
			time.Sleep(30 * time.Millisecond)
		}
	})
	count := func(text, format string) (n int) {
		for line := range strings.Lines(text) {
			if fmt.Sscanf(line, format, &n); n > 0 {
				return n
			}
		}
		return 0
	}
	dropped, removed := 0, 0
	for range 6 {
		out := r.letters(0, "drop", "--all", "--purge")
		dropped += count(out, "%d entries are dropped")
		removed += count(out, "%d entries are removed")
	}
	wg.Wait()
	p.until("all events", func() bool { return r.lines("log/out.json") == rounds*each*2/3 })
	p.stop()
	out := r.letters(0, "drop", "--all", "--purge") // no engine runs: the command rotates
	dropped += count(out, "%d entries are dropped")
	removed += count(out, "%d entries are removed")
	if want := rounds * each / 3; dropped != want || removed != want {
		t.Errorf("%d entries were dropped and %d removed, want %d", dropped, removed, want)
	}
	if left, _ := filepath.Glob(r.path("log/dead-letter.json.2*")); len(left) > 0 || r.read("log/dead-letter.json") != "" {
		t.Errorf("left behind: %v", left)
	}
	if index := r.read("log/dead-letter.json.done"); index != "" {
		t.Errorf("the index still holds %.300s", index)
	}
}

func TestDeadLettersElsewhere(t *testing.T) {
	sink, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	r := fileRoot(t)
	r.write("in.json", numberedEvents(1, 3))
	config := r.read("scripts/config.lua")
	r.write("scripts/config.lua", config+`dead_letter = "unix://`+sink.Addr().String()+`"`)
	if out := r.letters(1, "ls"); !strings.Contains(out, "only those in a file") || !strings.Contains(out, "--file") {
		t.Errorf("got %s", out)
	}
	r.write("scripts/config.lua", config+`dead_letter = "zfile://$ROOT/other/dead.gz"`)
	if out := r.letters(0, "ls"); !strings.Contains(out, "there are no dead letters") {
		t.Errorf("got %s", out)
	}
	r.drained("dead-lettered 1")
	r.write("analyzers/a.lua", calm)
	r.letters(0, "replay", "--all")
	r.drained("replay: read 1 = delivered 1 ")
	if out := r.letters(0, "drop", "--purge"); !strings.Contains(out, "1 entries are removed: 1 files removed") {
		t.Errorf("got %s", out)
	}
	r.write("scripts/config.lua", "inputs = nonsense")
	r.write("some.json", `{"time":"2026-11-21T13:00:00Z","origin":"eve x","stage":"analyzer a","reason":"script_error","error":"e","event":{"n":7}}`+"\n")
	r.letters(78, "ls")
	if out := r.letters(0, "ls", "--file", r.path("some.json")); !strings.Contains(out, "the stages are not known") || !strings.Contains(out, "analyzer a") {
		t.Errorf("got %s", out)
	}
	for _, bad := range [][]string{{"nonsense"}, {"show"}, {"replay"}, {"drop"}, {"ls", "--since", "soon"}, {"ls", "--purge"}, {"replay", "--all", "abcd"},
		{"replay", "--all", "--from", "x"}, {"ls", "--status", "x"}, {"ls", "--nonsense"}, {"replay", "--all", "--wait=x"}} {
		r.letters(2, bad...)
	}
	if out := r.letters(0, "help"); !strings.Contains(out, "--purge") {
		t.Errorf("got %s", out)
	}
}

// TestDeadLettersInAChroot replays what the command, run by root, hands to an engine that is nobody in an empty chroot.
func TestDeadLettersInAChroot(t *testing.T) {
	needRoot(t)
	r := tailRoot(t)
	for _, d := range []string{"empty", "log", "state"} {
		os.MkdirAll(r.path(d), 0o777)
		os.Chmod(r.path(d), 0o777)
	}
	for d := r.dir; d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755|0o022)
	}
	r.write("in.json", numberedEvents(1, 3))
	p := r.start("-c", r.path("empty"), "-p")
	p.until("the dead letter", func() bool { return r.lines("log/dead-letter.json") == 1 })
	r.write("analyzers/a.lua", calm)
	out := r.letters(1, "replay", "--all", "--wait=60s") // nobody has told the engine to load the script: it fails as before
	if !strings.Contains(out, "dead-lettered again 1") {
		t.Errorf("got %s", out)
	}
	if out := r.letters(0, "drop", "--purge"); !strings.Contains(out, "1 entries are removed: 0 files removed, 1 written anew") {
		t.Errorf("got %s", out)
	}
	p.stop()
	r.letters(0, "replay", "--all")
	p = r.start("-c", r.path("empty"), "-p")
	p.until("the event", func() bool { return r.lines("log/out.json") == 3 })
	if out := p.stop(); !strings.Contains(out, "replay: read 1 = delivered 1 ") {
		t.Errorf("got %s", out)
	}
	r.once(3)
}
