package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSignalsBeforeItRuns sends what a log rotation and a hasty operator send while setup() of a script still runs.
func TestSignalsBeforeItRuns(t *testing.T) {
	r := passThrough(t, "tail://IN<")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "tail://IN<", "tail://"+r.path("eve.json")+"<", 1))
	r.write("analyzer/pass.lua", fmt.Sprintf(`
function setup()
  local f = io.open(%q, "w") f:write("x") f:close()
  local begun = os.clock()
  while os.clock() - begun < 0.3 do end
end
function loop(e) dragonfly.output_event(default_output, e) end
`, r.path("log/setup-runs")))
	r.append("eve.json", "{\"n\":1}\n")
	p := r.launch()
	p.until("setup runs", func() bool { return r.read("log/setup-runs") != "" })
	for range 3 {
		p.signal(syscall.SIGUSR1)
		p.signal(syscall.SIGHUP)
	}
	p.until("the event", func() bool { return strings.Contains(r.read("log/out.json")+rotatedText(r), `{"n":1}`) })
	p.until("the reloads", func() bool { return strings.Count(p.text(), "reloading") >= 1 })
	p.stop()
}

// TestRotationDoesNotAbortADrain: only a second TERM or INT ends the drain early.
func TestRotationDoesNotAbortADrain(t *testing.T) {
	r := passThrough(t, "tail://IN<")
	r.write("config/config.lua", strings.NewReplacer("tail://IN<", "tail://"+r.path("eve.json")+"<", `uri = "file://out.json"}`, `uri = "unix://`+r.path("s")+`"}, {tag = "seen", uri = "file://seen.json"}`).
		Replace(r.read("config/config.lua"))+"drain_timeout = 60\n")
	r.write("analyzer/pass.lua", `function loop(e) dragonfly.output_event("out", e) dragonfly.output_event("seen", e) end`)
	r.append("eve.json", "{\"n\":1}\n")
	p := r.start()
	p.until("the event is on its way", func() bool { return r.lines("log/seen.json") == 1 })
	p.signal(syscall.SIGTERM)
	p.until("the drain", func() bool { return strings.Contains(p.text(), "draining") })
	for range 3 {
		p.signal(syscall.SIGUSR1)
		p.signal(syscall.SIGHUP)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.path("s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetDeadline(time.Now().Add(30 * time.Second))
	conn, err := l.Accept()
	if err != nil {
		t.Fatalf("%v\n%s", err, p.text())
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	if text, err := bufio.NewReader(conn).ReadString('\n'); text != "{\"n\":1}\n" {
		t.Errorf("got %q, %v", text, err)
	}
	p.until("its end", func() bool {
		return strings.Contains(p.text(), "delivered 1 + dropped 0 + dead-lettered 0 + in flight 0")
	})
	if err := <-p.ended; err != nil {
		t.Errorf("%v\n%s", err, p.text())
	}
}

// rotatedText is what is in the rotated files of out.json.
func rotatedText(r *root) (text string) {
	entries, err := os.ReadDir(r.path("log"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "out.json.") {
			text += r.read("log/" + e.Name())
		}
	}
	return text
}
