package e2e

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// dropRoot is a pipeline that sends each event to the outputs that it names, with the directory conf.d.
func dropRoot(t *testing.T) *root {
	r := newRoot(t, `
-- config/config.lua --
inputs = { {tag = "eve", uri = "tail://$ROOT/in.json<", script = "filter", default_analyzer = "spread"} }
analyzers = { {tag = "spread", script = "spread", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
drop_in = "conf.d"
may_connect = "any"
listen = "127.0.0.1:0"
-- filter/filter.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzer/spread.lua --
function loop(e)
  dragonfly.output_event(e.to, e)
end
-- in.json --
`)
	return r
}

// drop puts a file into conf.d at once, as a careful program does.
func (r *root) drop(name, body string) {
	r.t.Helper()
	r.write("tmp/"+name, body)
	if err := os.Rename(r.path("tmp/"+name), r.path("conf.d/"+name)); err != nil {
		r.t.Fatal(err)
	}
}

func TestDropIn(t *testing.T) {
	r := dropRoot(t)
	p := r.start()
	count := func(text string) func() bool {
		before := strings.Count(p.text(), text)
		return func() bool { return strings.Count(p.text(), text) > before }
	}
	ok, refused := count("the new configuration runs"), count("is not taken")
	again := func() { ok, refused = count("the new configuration runs"), count("is not taken") }

	r.drop("b.lua", `outputs = { {tag = "b", uri = "file://b.json"} }`)
	p.until("a row that was dropped in", ok)
	r.append("in.json", `{"to":"b","n":1}`+"\n")
	p.until("its event", func() bool { return r.lines("log/b.json") == 1 })

	again()
	r.drop("b.lua", "outputs = {\n  {tag = 'b', uri = 'file://b.json', sise = 5} }")
	p.until("a file that is wrong", refused)
	if text := p.text(); !strings.Contains(text, "conf.d/b.lua:2: outputs[1].sise: unknown key") {
		t.Errorf("no place in %s", text)
	}
	r.append("in.json", `{"to":"b","n":2}`+"\n")
	p.until("the row that was there before", func() bool { return r.lines("log/b.json") == 2 })

	again() // beside the wrong one another takes effect
	r.drop("a.lua", `local names = {"a", "c"}
outputs, analyzers, inputs = {}, {}, {}
for _, n in ipairs(names) do outputs[#outputs + 1] = {tag = n, uri = "file://" .. n .. ".json"} end
analyzers[1] = {tag = "more", script = "spread"}
inputs[1] = {tag = "second", uri = "tail://`+r.path("second.json")+`<", script = "filter", default_analyzer = "more"}`)
	p.until("another", ok)
	r.append("second.json", `{"to":"a","n":3}`+"\n"+`{"to":"b","n":4}`+"\n")
	p.until("events of the input that was dropped in", func() bool { return r.lines("log/a.json") == 1 && r.lines("log/b.json") == 3 })

	again()
	r.drop("d.lua", `outputs = { {tag = "b", uri = "file://d.json"} }`) // the tag is taken
	p.until("a tag that is there twice", refused)
	again()
	r.drop("d.lua", `listen = ""`)
	p.until("a setting that only config.lua has", refused)
	again()
	r.drop("d.lua", `outputs = { {tag = "d", uri = "http://"} }`)
	p.until("what the output refuses", refused)
	if text := p.text(); !strings.Contains(text, "conf.d/d.lua:1: outputs[1].uri: names no host") {
		t.Errorf("no place in %s", text)
	}
	again()
	r.drop("d.lua", `outputs = { {tag = "d", uri =`)
	p.until("half a file", refused)

	again()
	for _, name := range []string{"a.lua", "d.lua"} {
		if err := os.Remove(r.path("conf.d/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	p.until("rows that were removed", ok)
	r.append("in.json", `{"to":"a","n":5}`+"\n")
	p.until("an event for nobody", func() bool { return strings.Contains(p.text(), "a tag that does not exist") })

	again()
	r.drop("b.lua", `outputs = { {tag = "b", uri = "file://b2.json"} }`) // right again
	p.until("a file that is right again", ok)
	r.append("in.json", `{"to":"b","n":6}`+"\n")
	p.until("its event", func() bool { return r.lines("log/b2.json") == 1 })
	if text := p.stop(); strings.Contains(text, "dead-lettered 1") {
		t.Error(text)
	}
}

// TestDropInWebhook drops a webhook in while events come, and takes it away again: each event has one place.
func TestDropInWebhook(t *testing.T) {
	var mu sync.Mutex
	posted := 0
	s := &sinks{t: t, address: "127.0.0.1:" + freePort(t)}
	s.start()
	s.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mu.Lock(); posted++; mu.Unlock() })
	defer s.stop()
	r := dropRoot(t)
	p := r.start()
	row := fmt.Sprintf(`outputs = { {tag = "hook", uri = "http://%s/"} }`, s.address)
	n := 0
	events := func(k int) {
		var b strings.Builder
		for range k {
			n++
			fmt.Fprintf(&b, `{"to":"hook","n":%d}`+"\n", n)
		}
		r.append("in.json", b.String())
	}
	for range 3 {
		mu.Lock()
		before := posted
		mu.Unlock()
		events(50)
		r.drop("hook.lua", row)
		p.until("the webhook", func() bool { events(1); mu.Lock(); defer mu.Unlock(); return posted > before+100 })
		warned := strings.Count(p.text(), "a tag that does not exist")
		if err := os.Remove(r.path("conf.d/hook.lua")); err != nil {
			t.Fatal(err)
		}
		p.until("its end", func() bool { events(1); return strings.Count(p.text(), "a tag that does not exist") > warned })
	}
	p.until("all is read", func() bool { _, text := p.get("/ledger"); return strings.Contains(text, `"in_flight":0`) })
	text := p.stop()
	read, delivered := 0, 0
	for _, m := range regexp.MustCompile(`ledger: eve: read (\d+) = delivered (\d+) \+ dropped \d+ \+ dead-lettered 0 \+ in flight 0`).FindAllStringSubmatch(text, -1) {
		a, _ := strconv.Atoi(m[1])
		b, _ := strconv.Atoi(m[2])
		read, delivered = read+a, delivered+b
	}
	if strings.Count(text, "ledger: eve:") != 7 || read > n || delivered != posted {
		t.Errorf("read %d of %d, delivered %d, %d came; %s", read, n, delivered, posted, text)
	}
}

func TestDropInAtStart(t *testing.T) {
	r := dropRoot(t)
	r.write("conf.d/.b.lua", "not Lua")
	r.write("conf.d/b.txt", "not Lua")
	r.write("conf.d/b.lua", "\noutputs = { {tag = 'b', uri = 'fil://b.json'} }")
	for _, args := range [][]string{{"check"}, nil} {
		if code, text := r.run(args...); code != 78 || !strings.Contains(text, "conf.d/b.lua:2: outputs[1].uri: unknown scheme \"fil\"") {
			t.Errorf("exit %d: %s", code, text)
		}
	}
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"conf.d"`, `"../conf.d"`, 1))
	if code, text := r.run("check"); code != 78 || !strings.Contains(text, "want a directory below ROOT") {
		t.Errorf("exit %d: %s", code, text)
	}
}
