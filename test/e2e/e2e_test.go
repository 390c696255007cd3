package e2e

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const oddities = `{"flow_id":1598023201615874,"ratio":1.0,"list":[],"obj":{},"null":null,"s":"a\/bé\u00e9","big":18446744073709551615,"dup":1,"dup":2}` + "\n" +
	` { "spaced" : [ 1 , 2 ] , "n" : -0 }` + "\n" + `{"e":1E400,"nul":"\u0000"}` + "\n"

func TestBytesPassUnchanged(t *testing.T) {
	r := passThrough(t, "file://$ROOT/in.json")
	r.write("config/config.lua", strings.ReplaceAll(r.read("config/config.lua"), "$ROOT", r.dir))
	in := oddities + strings.ReplaceAll(oddities, "\n", "\r\n") + "{\"last\":\"line without end\"}"
	r.write("in.json", in)
	r.drained("read 7 = delivered 7 + dropped 0 + dead-lettered 0 + in flight 0")
	if got, want := r.read("log/out.json"), strings.ReplaceAll(in, "\r", "")+"\n"; strings.ReplaceAll(got, " {", "{") != strings.ReplaceAll(want, " {", "{") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r.drained("read 7 = delivered 7") // nothing is new: all again
	r.append("in.json", "{\"new\":1}\n")
	r.drained("read 1 = delivered 1")
}

func TestReferenceEventsPassUnchanged(t *testing.T) {
	for _, name := range []string{"eve-torture.json", "eve-mixed.json"} {
		t.Run(name, func(t *testing.T) {
			path, _ := filepath.Abs("../../../shared/data/reference/eve/" + name)
			want, err := os.ReadFile(path)
			if err != nil {
				skip(t, "the reference events are missing: %v", err)
			}
			r := passThrough(t, "file://"+path)
			r.drained("dropped 0 + dead-lettered 0 + in flight 0")
			if r.read("log/out.json") != string(want) {
				t.Error("the events were changed")
			}
			r = passThrough(t, "file://"+path)
			r.write("analyzer/pass.lua", `function setup() end function loop(e) e.event_type = "marked" dragonfly.output_event(default_output, e) end`)
			r.drained("dropped 0 + dead-lettered 0 + in flight 0")
			got := strings.Split(strings.TrimSpace(r.read("log/out.json")), "\n")
			for i, line := range strings.Split(strings.TrimSpace(string(want)), "\n") {
				_, rest, _ := strings.Cut(line, `"event_type":"`)
				kind, _, _ := strings.Cut(rest, `"`)
				if strings.Replace(line, `"event_type":"`+kind+`"`, `"event_type":"marked"`, 1) != got[i] {
					t.Fatalf("line %d: more than the one field changed:\n%.500s\n%.500s", i+1, line, got[i])
				}
			}
		})
	}
}

func TestMillionEventsWithAFaultyScript(t *testing.T) {
	r := passThrough(t, "file://IN")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "file://IN", "file://"+r.path("in.json"), 1))
	f, err := os.Create(r.path("in.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		var b strings.Builder
		for j := range 1000 {
			fmt.Fprintf(&b, `{"event_type":"flow","n":%d}`+"\n", i*1000+j+1)
		}
		if _, err := f.WriteString(b.String()); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	r.write("analyzer/pass.lua", "function setup() end\nfunction loop(e)\n  if e.n % 1000 == 0 then error('boom') end\n  dragonfly.output_event(default_output, e)\nend\n")
	r.drained("read 1000000 = delivered 999000 + dropped 0 + dead-lettered 1000 (script_error 1000) + in flight 0")
	if n := r.lines("log/out.json"); n != 999000 {
		t.Errorf("got %d events, want 999000", n)
	}
	if n := r.lines("log/dead-letter.json"); n != 1000 {
		t.Errorf("got %d dead letters, want 1000", n)
	}
	var d struct{ Origin, Stage, Reason, Error string }
	line, _, _ := strings.Cut(r.read("log/dead-letter.json"), "\n")
	if err := json.Unmarshal([]byte(line), &d); err != nil || d.Error != "analyzer/pass.lua:3: boom" || d.Stage != "analyzer pass" || !strings.Contains(d.Origin, "in.json offset ") {
		t.Errorf("got %+v, %v", d, err)
	}
}

func TestBadInputCostsOnlyItself(t *testing.T) {
	r := passThrough(t, "file://IN")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"file://IN"`, `"file://`+r.path("in.json")+`", max_line = "64k"`, 1))
	r.write("in.json", `{"ok":1}`+"\n\n"+`{"event_type":"alert"`+"\n"+`[1]`+"\n"+"\x00\xff"+"\n"+`{"long":"`+strings.Repeat("x", 100_000)+"\"}\n"+"{\"latin\":\"caf\xe9\"}\n"+`{"ok":2}`)
	r.drained("read 7 = delivered 3 + dropped 0 + dead-lettered 4 (malformed 2, not_object 1, too_long 1)")
	if got, want := r.read("log/out.json"), `{"ok":1}`+"\n{\"latin\":\"caf\xe9\"}\n"+`{"ok":2}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if dead := r.read("log/dead-letter.json"); !strings.Contains(dead, `invalid JSON at byte 21: unexpected end`) {
		t.Errorf("got %s", dead)
	}
}

func TestScriptThatHangsIsStopped(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "dummy://", data = {{n = 1}, {n = 2}, {n = 3}}, script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out", script_timeout = "200ms"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function setup() end
function loop(e)
  if e.n == 2 then
    while true do end
  end
  if e.n == 3 then pcall(function() while true do end end) end
  dragonfly.output_event(default_output, e)
end
`)
	r.drained("read 3 = delivered 1 + dropped 0 + dead-lettered 2 (script_timeout 2)")
	if dead := r.read("log/dead-letter.json"); !strings.Contains(dead, "analyzers/a.lua:4: stopped: a call took longer than script_timeout (200ms)") {
		t.Errorf("got %s", dead)
	}
}

func TestLoopsAndFanOut(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "dummy://", data = {n = 1}, ["repeat"] = 300, script = "f", default_analyzer = "fan"} }
analyzers = {
  {tag = "fan", script = "fan", default_analyzer = "round", default_output = "out"},
  {tag = "round", script = "round", default_analyzer = "round"},
}
outputs = { {tag = "out", uri = "null://"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/fan.lua --
function loop(e)
  for i = 1, 1000 do dragonfly.output_event(default_output, e) end
  dragonfly.analyze_event(default_analyzer, e)
end
-- analyzers/round.lua --
function loop(e) dragonfly.analyze_event("ROUND", e) end
`)
	r.drained("read 300 = delivered 0 + dropped 0 + dead-lettered 300 (loop 300)")
}

func TestShardsKeepTheOrderOfAKey(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "file://$ROOT/in.json", script = "f", default_analyzer = "a", workers = 3, shard_by = "src_ip"} }
analyzers = { {tag = "a", script = "a", default_output = "out", workers = "auto", shard_by = {"src_ip", "dest_ip"}} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
local seen = {}
function loop(e)
  seen[e.src_ip] = (seen[e.src_ip] or 0) + 1
  e.seen = seen[e.src_ip]
  dragonfly.output_event(default_output, e)
end
`)
	var in strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&in, `{"src_ip":"10.0.0.%d","dest_ip":"10.1.1.1","n":%d}`+"\n", i%50, i/50+1)
	}
	r.write("in.json", in.String())
	r.drained("read 20000 = delivered 20000")
	for line := range strings.Lines(r.read("log/out.json")) {
		var e struct{ N, Seen int }
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.N != e.Seen {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func TestMissingFileEndsARunWithX(t *testing.T) {
	r := passThrough(t, "file:///nowhere/eve.json")
	if code, out := r.run("-x"); code != 1 || !strings.Contains(out, "input eve: ") || !strings.Contains(out, "/nowhere/eve.json: no such file") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestDamagedFileEndsARunWithX(t *testing.T) {
	r := passThrough(t, "file://IN")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "file://IN", "file://"+r.path("in.json.gz"), 1))
	var b strings.Builder
	z := gzip.NewWriter(&b)
	for i := range 10_000 {
		fmt.Fprintf(z, `{"n":%d}`+"\n", i)
	}
	z.Close()
	r.write("in.json.gz", b.String()[:b.Len()/2])
	code, out := r.run("-x")
	if code != 1 || !strings.Contains(out, "the source is damaged: unexpected EOF") || !strings.Contains(out, "dead-lettered 0 + in flight 0") || r.lines("log/out.json") < 1000 {
		t.Errorf("exit %d, %d events: %s", code, r.lines("log/out.json"), out)
	}
}

func TestGlobAndCompressedFiles(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "file://$ROOT/eve*.json*", script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "zfile://out.json.gz"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function loop(e) dragonfly.output_event(default_output, e) end
-- eve.1.json --
{"n":1}
`)
	f, _ := os.Create(r.path("eve.2.json.gz"))
	z := gzip.NewWriter(f)
	z.Write([]byte("{\"n\":2}\n{\"n\":3}\n"))
	z.Close()
	f.Close()
	r.drained("read 3 = delivered 3")
	out, _ := os.Open(r.path("log/out.json.gz"))
	defer out.Close()
	zr, err := gzip.NewReader(out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil || string(text) != "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestConfigurationMistakesAreAllShown(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  { tag = "eve", uri = "tial:///var/log/eve.json", script = "missing.lua", default_analyzer = "nowhere" },
  { tag = "two", uri = "tail:///var/log/eve.json", script = "f", max_lime = 5, workers = 0 },
}
analyzers = { { tag = "a", script = "f" , default_output = "outt" } }
outputs = { { tag = "out", uri = "file://x", rotate_size = "many" }, { uri = "null://" } }
max_in_flite = 10
listen = 5
dead_letter = "${NOT_SET_ANYWHERE}"
-- scripts/f.lua --
function loop(e) end
-- analyzers/f.lua --
function loop(e) end
`)
	code, out := r.run("check")
	if code != 78 {
		t.Errorf("got exit %d, want 78", code)
	}
	for _, want := range []string{
		`scripts/config.lua:2: inputs[1].uri: unknown scheme "tial", want one of `, `did you mean "tail"?`,
		`scripts/config.lua:2: inputs[1].script: script "missing.lua" is missing`, `scripts/config.lua:2: inputs[1].default_analyzer: there is no analyzer with the tag "nowhere"`,
		`scripts/config.lua:3: inputs[2].max_lime: unknown key (did you mean "max_line"?)`, `scripts/config.lua:3: inputs[2].workers: is 0, want a number from 1 to 1024, or "auto"`,
		`scripts/config.lua:5: analyzers[1].default_output: there is no output with the tag "outt" (did you mean "out"?)`,
		`scripts/config.lua:6: outputs[1].rotate_size: is "many", want a number of bytes`, `scripts/config.lua:6: outputs[2].tag: is missing`,
		`scripts/config.lua:7: max_in_flite: unknown setting (did you mean "max_in_flight"?)`, `scripts/config.lua:8: listen: is 5, want a string`,
		`the environment variable "NOT_SET_ANYWHERE" is not set`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no line says: %s", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	r.write("scripts/config.lua", "inputs = {\n  {tag = \n")
	if code, out := r.run(); code != 78 || !strings.Contains(out, "scripts/config.lua") {
		t.Errorf("got exit %d: %s", code, out)
	}
	if code, _ := r.run("--nonsense"); code != 2 {
		t.Errorf("got exit %d, want 2", code)
	}
}

func TestScriptMistakesAreShownWithTheirLine(t *testing.T) {
	r := passThrough(t, "dummy://")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1))
	r.write("analyzer/pass.lua", "function setup()\n  local x = nil\n  x.y = 1\nend\nfunction loop(e) end\n")
	if code, out := r.run("-x"); code != 78 || !strings.Contains(out, "analyzer/pass.lua:3: ") {
		t.Errorf("got exit %d: %s", code, out)
	}
	r.write("analyzer/pass.lua", "function loop(e)\n  if\nend\n")
	if code, out := r.run("check"); code != 78 || !strings.Contains(out, "analyzer/pass.lua:3: ") {
		t.Errorf("got exit %d: %s", code, out)
	}
}

func TestSocketsInAndOut(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  {tag = "stream", uri = "unix://$ROOT/in.sock", script = "f", default_analyzer = "a"},
  {tag = "datagram", uri = "ipc://$ROOT/in.dgram", script = "f", default_analyzer = "a"},
}
analyzers = { {tag = "a", script = "a"} }
outputs = { {tag = "stream", uri = "unix://$ROOT/out.sock"}, {tag = "datagram", uri = "ipc://$ROOT/out.dgram"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function loop(e) dragonfly.output_event("stream", e) dragonfly.output_event("datagram", e) end
`)
	p := r.start()
	big := strings.Repeat("x", 200_000)
	d, err := net.Dial("unixgram", r.path("in.dgram"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := fmt.Fprintf(d, `{"from":"datagram","pad":"%s"}`, big); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		c, err := net.Dial("unix", r.path("in.sock"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "{\"from\":\"stream %d\"}\n{\"cut\":\"off{\"timestamp\":\"t\",\"glued\":true}\n", i)
		c.Close()
	}
	// The receivers come only now: nothing may be lost until then.
	l, err := net.Listen("unix", r.path("out.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.path("out.dgram"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	datagrams := make(chan string, 10)
	go func() {
		buf := make([]byte, 1<<20)
		for {
			n, err := g.Read(buf)
			if err != nil {
				return
			}
			datagrams <- string(buf[:n])
		}
	}()
	stream := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(c)
		stream <- string(text)
	}()
	var got []string
	for range 5 {
		select {
		case s := <-datagrams:
			got = append(got, s)
		case <-time.After(30 * time.Second):
			t.Fatalf("got only %d datagrams: %.500s\n%s", len(got), got, p.text())
		}
	}
	out := p.stop()
	want := []string{`{"from":"datagram","pad":"` + big + `"}`, `{"from":"stream 0"}`, `{"from":"stream 1"}`, `{"timestamp":"t","glued":true}`, `{"timestamp":"t","glued":true}`}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("datagrams: got %.300q", got)
	}
	lines := strings.Split(strings.TrimSpace(<-stream), "\n")
	slices.Sort(lines)
	if !slices.Equal(lines, want) {
		t.Errorf("stream: got %.300q", lines)
	}
	if !strings.Contains(out, "stream: read 6 = delivered 4 + dropped 0 + dead-lettered 2 (malformed 2)") {
		t.Errorf("ledger: %s", out)
	}
}

func TestTailOverRotationAndSignals(t *testing.T) {
	r := passThrough(t, "tail://IN<")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "tail://IN<", "tail://"+r.path("eve.json")+"<", 1))
	p := r.start()
	r.append("eve.json", "{\"n\":1}\n")
	p.until("first event", func() bool { return r.lines("log/out.json") == 1 })
	os.Rename(r.path("eve.json"), r.path("eve.json.1"))
	r.append("eve.json", "{\"n\":2}\n")
	p.until("event after rotation", func() bool { return r.lines("log/out.json") == 2 })

	p.signal(syscall.SIGUSR1) // our outputs rotate
	rotated := func() []string { m, _ := filepath.Glob(r.path("log/out.json.*")); return m }
	p.until("rotated output", func() bool { return len(rotated()) == 1 && r.read("log/out.json") == "" })
	r.append("eve.json", "{\"n\":3}\n")
	p.until("event in the new file", func() bool { return r.lines("log/out.json") == 1 })

	r.write("analyzer/pass.lua", "function loop(e) syntax error end")
	p.signal(syscall.SIGHUP)
	p.until("refused reload", func() bool { return strings.Contains(p.text(), "the old one goes on") })
	r.append("eve.json", "{\"n\":4}\n")
	p.until("event with the old script", func() bool { return r.lines("log/out.json") == 2 })

	r.write("analyzer/pass.lua", "function loop(e) e.new = true dragonfly.output_event(default_output, e) end")
	p.signal(syscall.SIGHUP)
	p.until("reload", func() bool { return strings.Contains(p.text(), "the new scripts run") })
	r.append("eve.json", "{\"n\":5}\n")
	p.until("event with the new script", func() bool { return strings.Contains(r.read("log/out.json"), `{"n":5,"new":true}`) })

	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `default_output = "out"`, `default_output = "two"`, 1)+"\noutputs[2] = {tag = \"two\", uri = \"file://two.json\"}\n")
	p.signal(syscall.SIGHUP)
	p.until("new configuration", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
	r.append("eve.json", "{\"n\":6}\n")
	p.until("event in the new output", func() bool { return r.lines("log/two.json") == 1 })
	p.stop()

	r.append("eve.json", "{\"n\":7}\n") // while down
	p = r.start()
	p.until("event from the time in between", func() bool { return r.lines("log/two.json") == 2 })
	p.stop()
	if got, want := r.read("log/two.json"), "{\"n\":6,\"new\":true}\n{\"n\":7,\"new\":true}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTimersFinishLogAndStats(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "dummy://", data = {n = 1}, interval = "1200ms", ["repeat"] = 2, script = "f", default_analyzer = "a"} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function setup() dragonfly.timer_event("A", 0.1, {timer = "from a filter"}) end
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function setup() dragonfly.timer_event("a", 3600, {timer = "late"}) dragonfly.log_event("ready") dragonfly.stats_event({ready = true}) end
function loop(e) if e.timer then dragonfly.output_event(default_output, e) end end
function finish() dragonfly.output_event(default_output, {finish = true}) end
`)
	r.drained("in: read 2 = delivered 0 + dropped 2")
	if got, want := r.read("log/out.json"), "{\"timer\":\"from a filter\"}\n{\"timer\":\"late\"}\n{\"finish\":true}\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := r.read("log/dragonfly-mle.log"); got != "\"ready\"\n" {
		t.Errorf("log: got %q", got)
	}
	stats := r.read("log/dragonfly-mle-stats.log")
	if !strings.Contains(stats, `", "operations": { "input": `) || !strings.Contains(stats, `{"ready":true}`) || !strings.Contains(stats, `"ledger":[{"input":"in",`) {
		t.Errorf("stats: got %s", stats)
	}
}

func TestHTTPListener(t *testing.T) {
	address := "127.0.0.1:" + freePort(t)
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "dummy://", data = {n = 1}, ["repeat"] = 5, script = "f"} }
outputs = {}
listen = "`+address+`"
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event("nowhere", e) end
-- www/a.json --
{"name":"a"}
-- secret.txt --
secret
`)
	p := r.start()
	get := func(path string) (int, string) {
		req, _ := http.NewRequest("GET", "http://"+address, nil)
		req.URL.Opaque = path
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body)
	}
	p.until("five events", func() bool {
		_, m := get("/metrics")
		return strings.Contains(m, `dragonfly_unknown_tag_events_total{tag="nowhere"} 5`)
	})
	if code, body := get("/www/a.json"); code != 200 || body != "{\"name\":\"a\"}\n" {
		t.Errorf("www: %d %s", code, body)
	}
	for _, path := range []string{"/www/../secret.txt", "/www/%2e%2e/secret.txt", "/www/", "/www/none.json"} {
		if code, body := get(path); strings.Contains(body, "secret\n") || code == 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := get("/healthz"); code != 200 || !strings.Contains(body, `"ok"`) {
		t.Errorf("healthz: %d %s", code, body)
	}
	if _, body := get("/ledger"); !strings.Contains(body, `"input":"in","read":5,"delivered":0,"dropped":5`) {
		t.Errorf("ledger: %s", body)
	}
	p.stop()
}

func TestDrainOnTermLosesNothing(t *testing.T) {
	r := passThrough(t, "file://IN")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "file://IN", "file://"+r.path("in.json"), 1))
	var in strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&in, `{"n":%d}`+"\n", i)
	}
	r.write("in.json", in.String())
	p := r.start()
	p.until("some events", func() bool { return r.lines("log/out.json") > 1000 })
	p.stop()
	r.drained("dropped 0 + dead-lettered 0 + in flight 0")
	if r.read("log/out.json") != in.String() {
		t.Errorf("got %d lines, want %d, each once and in order", r.lines("log/out.json"), 300_000)
	}
}

func TestKillLosesNothing(t *testing.T) {
	r := passThrough(t, "tail://IN<")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "tail://IN<", "tail://"+r.path("eve.json")+"<", 1))
	n := 0
	for range 3 {
		p := r.start()
		for range 20 {
			var b strings.Builder
			for range 500 {
				n++
				fmt.Fprintf(&b, `{"n":%d}`+"\n", n)
			}
			r.append("eve.json", b.String())
			time.Sleep(20 * time.Millisecond)
		}
		p.cmd.Process.Kill()
		<-p.ended
		p.ended <- nil
	}
	p := r.start()
	last := fmt.Sprintf(`{"n":%d}`+"\n", n)
	p.until("the last event", func() bool { return strings.Contains(r.read("log/out.json"), last) })
	p.stop()
	seen := map[string]bool{}
	for line := range strings.Lines(r.read("log/out.json")) {
		seen[line] = true
	}
	for i := 1; i <= n; i++ {
		if !seen[fmt.Sprintf(`{"n":%d}`+"\n", i)] {
			t.Fatalf("event %d of %d is lost", i, n)
		}
	}
}

func TestShippedScriptsPassTheirExamples(t *testing.T) {
	var scripts []string
	for _, pattern := range []string{"../../scripts/*.lua", "../../analyzers/*.lua"} {
		m, _ := filepath.Glob(pattern)
		scripts = append(scripts, m...)
	}
	scripts = slices.DeleteFunc(scripts, func(s string) bool { return filepath.Base(s) == "config.lua" })
	r := newRoot(t, "")
	r.dir, _ = filepath.Abs("../..")
	if _, out := r.run("reference"); !strings.Contains(out, "\n#### model\n") { // waits for the module
		scripts = slices.DeleteFunc(scripts, func(s string) bool { return filepath.Base(s) == "dga.lua" })
	}
	if code, out := r.run(append([]string{"test"}, scripts...)...); code != 0 || len(scripts) < 7 {
		t.Errorf("exit %d, %d scripts: %s", code, len(scripts), out)
	}
	bad := newRoot(t, "-- analyzers/bad.lua --\n-- Bad.\n-- Example input:\n-- {\"a\":1}\n-- Example output:\n-- out {\"a\":2}\nfunction loop(e) dragonfly.output_event(default_output, e) end\n")
	if code, out := bad.run("test", bad.path("analyzers/bad.lua")); code != 1 || !strings.Contains(out, `got  out {"a":1}`) {
		t.Errorf("exit %d: %s", code, out)
	}
}
