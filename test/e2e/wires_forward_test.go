package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"dragonfly/test/parts"
)

func freePort(t *testing.T) string { return parts.FreePort(t) }

// kill ends a process without warning and waits for its end.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.ended <- <-p.ended
}

// ids returns how many different events are in a file of JSON lines. Text that is no line yet is passed.
func (r *root) ids(name string) map[int]int {
	r.t.Helper()
	seen := map[int]int{}
	for line := range strings.Lines(r.read(name)) {
		var ev struct{ ID *int }
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &ev) == nil && ev.ID != nil {
			seen[*ev.ID]++
		}
	}
	return seen
}

// collector is a syslog server that counts messages with octet counting.
func collector(t *testing.T) (address string, alerts *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	alerts = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					var n int
					if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
						return
					}
					b := make([]byte, n)
					if _, err := io.ReadFull(r, b); err != nil {
						return
					}
					if strings.Contains(string(b), "CEF:0|OISF|Suricata||2000001|ET SCAN|10|") {
						alerts.Add(1)
					}
				}
			}()
		}
	}()
	return l.Addr().String(), alerts
}

// TestExampleOfForwardAndSyslog runs the example of the README between an agent and a central: both it and the central are killed
// in the midst of events, and none is missing at the end.
func TestExampleOfForwardAndSyslog(t *testing.T) {
	t.Setenv("FORWARD_KEY", "a key")
	agents, firewall, central := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	siem, alerts := collector(t)

	middle := newRoot(t, "-- filter/pass.lua --\nfunction setup() end\nfunction loop(e) dragonfly.analyze_event(default_analyzer, e) end\n"+
		"-- analyzer/both.lua --\nfunction setup() end\nfunction loop(e) dragonfly.output_event(\"central\", e) if e.alert then dragonfly.output_event(\"siem\", e) end end\n")
	middle.write("config/config.lua", strings.NewReplacer("0.0.0.0:24224", agents, "0.0.0.0:514", firewall, "siem.example:514", siem, "central.example:24224", central).
		Replace(example(t, "Syslog and Fluent forward"))+"listen = \"\"\n")
	end := passThrough(t, "forward://"+central+`", shared_key = "${FORWARD_KEY}", hostname = "central", tag_key = "`)
	agent := sinkRoot(t, `{tag = "out", uri = "forward://`+agents+`", shared_key = "${FORWARD_KEY}", hostname = "agent", chunk = 4096}`, "")

	m, e, a := middle.start(), end.start(), agent.start()
	const n = 30_000
	text := events(n)
	agent.append("in.json", text[:len(text)/3])
	e.until("first events", func() bool { return end.lines("log/out.json") > 1000 })
	e.kill()
	agent.append("in.json", text[len(text)/3:2*len(text)/3])
	m.until("the outage is told", func() bool { return strings.Contains(m.text(), "output does not work") })
	e = end.start()
	agent.append("in.json", text[2*len(text)/3:])
	e.until("more events", func() bool { return end.lines("log/out.json") > n/2 })
	m.kill()
	m = middle.start()
	e.until("all events", func() bool { return len(end.ids("log/out.json")) == n })

	udp, err := net.Dial("udp", firewall)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	const eve = `{"id":-1,"event_type":"alert","alert":{"signature_id":2000001,"signature":"ET SCAN","severity":1}}`
	fmt.Fprintf(udp, "<134>Nov 21 10:00:00 ids suricata[77]: %s", eve)
	m.until("the alert at the siem", func() bool { return alerts.Load() == 1 })
	e.until("the alert at the central", func() bool { return end.ids("log/out.json")[-1] == 1 })
	for _, p := range []*process{a, m, e} {
		if text := p.stop(); strings.Contains(text, "does not balance") {
			t.Error(text)
		}
	}
}

// TestForwardWithAWrongKeyIsTold, over TLS: both sides say so, and nothing is lost when it is put right.
func TestForwardWithAWrongKeyIsTold(t *testing.T) {
	address := "127.0.0.1:" + freePort(t)
	end := passThrough(t, "forward://"+address+`", shared_key = "right", hostname = "central", tls_key = "key.pem", tls_cert = "cert.pem`)
	end.selfSigned()
	agent := sinkRoot(t, `{tag = "out", uri = "forward://`+address+`", shared_key = "wrong", hostname = "agent", tls_ca = "ca.pem"}`, "")
	agent.write("ca.pem", end.read("cert.pem"))
	e, a := end.start(), agent.start()
	agent.append("in.json", events(10))
	a.until("the refusal", func() bool {
		return strings.Contains(a.text(), "shared_key, username and password must be the server's")
	})
	e.until("the refusal", func() bool { return strings.Contains(e.text(), "a client was refused") })
	agent.write("config/config.lua", strings.Replace(agent.read("config/config.lua"), "wrong", "right", 1))
	a.signal(syscall.SIGHUP)
	e.until("all events", func() bool { return len(end.ids("log/out.json")) == 10 })
	a.stop()
	e.stop()
}
