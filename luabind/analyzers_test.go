package luabind

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
)

// withState are the shipped analyzers that use net and sketch.
var withState = []string{"internal-ip", "ip-blocklist", "flow-outlier", "top-talkers", "alert-context", "beacon", "new-domain", "report",
	"long-flow", "port-scan", "dns-tunnel", "capture-health"}

// shipped is an analyzer of the tree, and what it emits by tag.
type shipped struct {
	t      testing.TB
	script engine.Script
	out    engine.Results
	tags   *tags
}

func loadShipped(t testing.TB, root, name string) *shipped {
	t.Helper()
	l, err := NewLoader(root, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := l.Program("analyzers/" + name + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	if p.(*program).mayLoop && !slices.Contains(p.(*program).code.requires, "lib/dns") { // whose addresses() calls what it is given
		t.Errorf("%s is slow: it is taken for a script that may loop without end", name)
	}
	s := &shipped{t: t, tags: &tags{byRoute: map[engine.Route]string{engine.RouteLog: "log"}, routes: map[string]engine.Route{}}}
	s.script, err = p.Load(engine.ScriptEnv{Stage: name, DefaultAnalyzer: "next", DefaultOutput: "findings", Timeout: 5 * time.Second, Router: s.tags}, &s.out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.script.Close)
	return s
}

// handle returns what went on, and what else was emitted, as "tag body".
func (s *shipped) handle(event string) (next, other []string) {
	s.t.Helper()
	s.out.Reset()
	ev, err := engine.NewEvent(event)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.script.Handle(&ev, &s.out); err != nil {
		s.t.Fatalf("%.300s: %v", event, err)
	}
	return s.emitted()
}

func (s *shipped) emitted() (next, other []string) {
	for _, em := range s.out.Emitted {
		if tag := s.tags.byRoute[em.Route]; tag == "next" {
			next = append(next, em.Body)
		} else {
			other = append(other, tag+" "+em.Body)
		}
	}
	return next, other
}

// oddEvents are valid JSON that no sensor writes.
var oddEvents = []string{
	`{}`, `{"event_type":null}`, `{"event_type":5}`, `{"event_type":{}}`, `{"event_type":"flow"}`, `{"event_type":"flow","flow":null}`,
	`{"event_type":"flow","flow":[]}`, `{"event_type":"flow","flow":"x"}`, `{"event_type":"flow","flow":{}}`,
	`{"event_type":"flow","src_ip":null,"dest_ip":null,"proto":null,"dest_port":null,"flow":{"bytes_toserver":null,"bytes_toclient":"x","start":null}}`,
	`{"event_type":"flow","src_ip":"nonsense","dest_ip":"","proto":"TCP","dest_port":80,"flow":{"bytes_toserver":-5,"bytes_toclient":1e308}}`,
	`{"event_type":"flow","src_ip":12,"dest_ip":1.5,"app_proto":null,"flow":{"bytes_toserver":98765432109876543210,"bytes_toclient":1}}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.201","timestamp":null,"analytics":null}`,
	`{"event_type":"flow","src_ip":"10.0.0.1","dest_ip":"192.0.2.202","timestamp":"yesterday","analytics":[1]}`,
	`{"event_type":"dns","dns":null}`, `{"event_type":"dns","dns":{"type":"answer","rrname":"a","answers":[{"rrtype":"A","rdata":null}]}}`,
	`{"event_type":"alert","flow_id":98765432109876543210,"alert":null}`,
}

func TestShippedAnalyzersRunOnRealAndOddEvents(t *testing.T) {
	files, _ := filepath.Glob("../../shared/data/reference/eve/*.json")
	files = append(files, "../../shared/data/ours/eve-own.json")
	for _, name := range withState {
		t.Run(name, func(t *testing.T) {
			s := loadShipped(t, "..", name)
			n := 0
			one := func(event string) {
				next, _ := s.handle(event)
				n++
				if len(next) != 1 {
					t.Fatalf("%.300s: passed on %d times", event, len(next))
				}
				changed := name == "internal-ip" && strings.Contains(event, `_ip"`) || name == "alert-context" && strings.Contains(event, `"alert"`)
				if !changed && next[0] != event {
					t.Fatalf("%.300s: changed to %.300s", event, next[0])
				}
			}
			for _, event := range oddEvents {
				one(event)
			}
			for _, file := range files {
				eachEvent(t, strings.TrimPrefix(file, "../../shared/data/"), func(line string) { one(strings.TrimSpace(line)) })
			}
			s.out.Reset()
			if err := s.script.Finish(&s.out); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d events", n)
		})
	}
}

func TestBlocklistIsReadAgain(t *testing.T) {
	root := t.TempDir()
	os.Mkdir(filepath.Join(root, "analyzers"), 0o755)
	source, err := os.ReadFile("../analyzers/ip-blocklist.lua")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(string(source), "local EVERY = 10", "local EVERY = 0", 1)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "analyzers", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("ip-blocklist.lua", script)
	write("ip-blocklist.txt", "8.8.8.0/24 first\n")
	s := loadShipped(t, root, "ip-blocklist")
	f := func(ip, want string) {
		t.Helper()
		_, other := s.handle(`{"src_ip":"` + ip + `","dest_ip":"10.0.0.1","timestamp":"2026-11-20T18:31:59.886695+0000"}`)
		if got := strings.Join(other, "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", ip, got, want)
		}
	}
	f("8.8.8.8", `"note":"first"`)
	f("9.9.9.9", "")
	write("ip-blocklist.txt", "9.9.9.0/24 second\n")
	f("9.9.9.9", `"note":"second"`)
	f("8.8.8.9", "")
	os.Remove(filepath.Join(root, "analyzers", "ip-blocklist.txt"))
	f("8.8.8.9", "log ") // says so once
	f("8.8.8.9", "")
	f("9.9.9.10", `"note":"second"`) // the old list stays
	write("ip-blocklist.txt", "8.8.8.0/24 third\nbad\n")
	f("8.8.8.10", `analyzers/ip-blocklist.txt:2`)
	_, other := s.handle(`{"src_ip":"8.8.8.11","dest_ip":"10.0.0.1","timestamp":"2026-11-20T18:31:59.886695+0000"}`)
	if len(other) != 1 || !strings.Contains(other[0], "third") {
		t.Errorf("got %q", other)
	}
	if _, other = s.handle(`{"src_ip":"8.8.8.11","dest_ip":"10.0.0.1","timestamp":"2026-11-20T19:31:58.0+0000"}`); len(other) != 0 {
		t.Errorf("reported again too soon: %q", other)
	}
	if _, other = s.handle(`{"src_ip":"8.8.8.11","dest_ip":"10.0.0.1","timestamp":"2026-11-20T19:32:00.0+0000"}`); len(other) != 1 {
		t.Errorf("not reported again after an hour: %q", other)
	}
}

func TestBlocklistNeedsItsFile(t *testing.T) {
	source, err := os.ReadFile("../analyzers/ip-blocklist.lua")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := load(t, "analyzers/ip-blocklist.lua", string(source)); err == nil || !strings.Contains(err.Error(), "put the file there") {
		t.Errorf("got %v", err)
	}
}

// TestTopTalkersAgreeWithExactSums adds up real flows by hand.
func TestTopTalkersAgreeWithExactSums(t *testing.T) {
	s := loadShipped(t, "..", "top-talkers")
	bytes, dests := map[string]float64{}, map[string]map[string]bool{}
	total := 0.0
	eachEvent(t, "reference/eve/eve-mixed.json", func(line string) {
		s.handle(line)
		var ev struct {
			Type string `json:"event_type"`
			Src  string `json:"src_ip"`
			Dest string `json:"dest_ip"`
			Flow struct{ Bytes_toserver, Bytes_toclient float64 }
		}
		if json.Unmarshal([]byte(line), &ev) == nil && ev.Type == "flow" && ev.Src != "" {
			n := ev.Flow.Bytes_toserver + ev.Flow.Bytes_toclient
			bytes[ev.Src] += n
			total += n
			if dests[ev.Src] == nil {
				dests[ev.Src] = map[string]bool{}
			}
			dests[ev.Src][ev.Dest] = true
		}
	})
	s.out.Reset()
	if err := s.script.Finish(&s.out); err != nil {
		t.Fatal(err)
	}
	_, other := s.emitted()
	var report struct {
		Bytes   float64
		Talkers []struct {
			Src                        string `json:"src_ip"`
			Bytes, Error, Destinations float64
		}
	}
	if len(other) != 1 || json.Unmarshal([]byte(strings.TrimPrefix(other[0], "findings ")), &report) != nil {
		t.Fatalf("got %q", other)
	}
	var sums []float64
	for _, n := range bytes {
		sums = append(sums, n)
	}
	slices.Sort(sums)
	slices.Reverse(sums)
	if report.Bytes != total || len(report.Talkers) != 10 {
		t.Errorf("got %v of %d talkers, want %v", report.Bytes, len(report.Talkers), total)
	}
	for i, talker := range report.Talkers {
		want, n := bytes[talker.Src], float64(len(dests[talker.Src]))
		if talker.Bytes < want || talker.Bytes-talker.Error > want || talker.Bytes < sums[i] || talker.Error > total/1000 {
			t.Errorf("%+v, want %v bytes", talker, want)
		}
		if n <= 64 && talker.Destinations != n || math.Abs(talker.Destinations-n) > 0.15*n {
			t.Errorf("%+v, want %v destinations", talker, n)
		}
	}
}

// TestFlowOutlierFindsWhatIsStrange puts one large and one small flow among many of lognormal size.
func TestFlowOutlierFindsWhatIsStrange(t *testing.T) {
	s := loadShipped(t, "..", "flow-outlier")
	flow := func(id, bytes int) []string {
		t.Helper()
		_, other := s.handle(fmt.Sprintf(`{"event_type":"flow","flow_id":%d,"proto":"TCP","dest_port":443,"app_proto":"tls","flow":{"bytes_toserver":%d,"bytes_toclient":0}}`, id, bytes))
		return other
	}
	found := 0
	for i := range 2000 {
		u := math.Mod(float64(i)*0.6180339887, 1) // evenly spread
		found += len(flow(i, int(5000*math.Exp(2*(u-0.5)))))
	}
	if found != 0 {
		t.Errorf("%d usual flows were reported", found)
	}
	for want, bytes := range map[string]int{"large flow": 50_000_000, "small flow": 1} {
		if got := flow(1, bytes); len(got) != 1 || !strings.Contains(got[0], want) || !strings.Contains(got[0], `"service":"tls"`) {
			t.Errorf("%d bytes: got %q", bytes, got)
		}
	}
	if got := flow(1, 9000); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// BenchmarkAnalyzers runs the analyzers over eve-mixed.json, the engine left out: CPU of one worker per event, reading
// and writing of JSON included.
func BenchmarkAnalyzers(b *testing.B) {
	var events []engine.Event
	eachEvent(b, "reference/eve/eve-mixed.json", func(line string) {
		ev, err := engine.NewEvent(line)
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, ev)
	})
	for _, name := range slices.Concat(withState, inStore) {
		b.Run(name, func(b *testing.B) {
			s := loadShipped(b, "..", name)
			b.ReportAllocs()
			i, cpu := 0, cpuTime()
			for b.Loop() {
				s.out.Reset()
				if err := s.script.Handle(&events[i%len(events)], &s.out); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(i), "cpu-ns/op")
		})
	}
}

// cpuTime is that of the process: with its garbage collector.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
