package e2e

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What is captured live makes the same flows as the same packets do from a file.
func TestFlowLiveAsFromFile(t *testing.T) {
	for _, name := range []string{"own-proto", "own-vlan-two", "own-frag", "own-icmp", "own-many", "own-http4"} {
		for _, meters := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s-%d", name, meters), func(t *testing.T) {
				w := newWire(t)
				p := w.start(flowRoot(t, fmt.Sprintf(`uri = "flow://v1", meters = %d`, meters)))
				w.replay("v0", ours(name), "--pps=3000")
				out := p.stop()
				want, others := fromFile(t, ours(name))
				p.wantFlows(want, others)
				if got, want := p.counter("frames_total"), frameCount(t, ours(name)); got != want || strings.Contains(out, "kernel_dropped") {
					t.Errorf("got %d frames, want %d, and none dropped:\n%s", got, want, out)
				}
				if strings.Contains(p.read("log/out.json"), "pcap_cnt") || !strings.Contains(p.read("log/out.json"), `"in_iface":"v1"`) {
					t.Errorf("events do not look live: %.300s", p.read("log/out.json"))
				}
			})
		}
	}
}

// On lo the kernel shows each packet twice.
func TestFlowLoopbackOnce(t *testing.T) {
	w := newWire(t)
	w.ip("link", "set", "lo", "up")
	p := w.start(flowRoot(t, `uri = "flow://lo"`))
	pcap := datagrams(t, 100)
	w.replay("lo", pcap, "--pps=3000")
	p.stop()
	want, others := fromFile(t, pcap)
	p.wantFlows(want, others)
}

func TestFlowFilter(t *testing.T) {
	all, _ := fromFile(t, ours("own-vlan-two"))
	with := func(list []string, word string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return !strings.Contains(f, word) })
	}
	tcp := with(all, "TCP ")
	tagged := with(tcp, " [100] ")
	if len(tagged) == 0 || len(tagged) == len(all) {
		t.Fatalf("the capture is not what this test wants: %q", all)
	}
	for name, c := range map[string]struct {
		filter string
		want   []string
	}{
		"vlan":     {"vlan 100 and tcp", tagged},
		"stripped": {"tcp", tcp}, // a tag that the kernel has taken off does not hide what is behind it
		"none":     {"not vlan", nil},
		"bytes":    {"len > 0 and tcp[tcpflags] & (tcp-syn|tcp-ack) != 0 or (vlan and icmp6)", all},
	} {
		for _, meters := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s-%d", name, meters), func(t *testing.T) {
				w := newWire(t)
				p := w.start(flowRoot(t, fmt.Sprintf(`uri = "flow://v1", events = {"flow"}, meters = %d, filter = "%s"`, meters, c.filter)))
				w.replay("v0", ours("own-vlan-two"), "--pps=3000")
				p.stop()
				p.wantFlows(c.want, map[string]int{})
			})
		}
	}
}

// pcap:// has the same filter; there a tag hides what is behind it.
func TestFlowFilterOfCaptures(t *testing.T) {
	all, _ := fromFile(t, ours("own-vlan-two"))
	for expr, want := range map[string]int{"": len(all), "vlan 100 and tcp": 3, "tcp": 0, "not vlan": 0, "vlan and icmp6": 2} {
		for _, meters := range []int{1, 2} {
			r := flowRoot(t, fmt.Sprintf(`uri = "pcap://%s", events = {"flow"}, meters = %d, filter = "%s"`, ours("own-vlan-two"), meters, expr))
			r.drained("dead-lettered 0 + in flight 0")
			if got, _ := flows(t, r.read("log/out.json")); len(got) != want {
				t.Errorf("%q: got %d flows, want %d", expr, len(got), want)
			}
		}
	}
	r := flowRoot(t, `uri = "pcap://`+ours("own-http4")+`", filter = "inbound"`)
	if code, out := r.run("check"); code != 78 || !strings.Contains(out, "a file does not say") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// An interface that is removed is waited for, by a process without any right.
func TestFlowInterfaceComesBack(t *testing.T) {
	for _, meters := range []int{1, 2} {
		t.Run(fmt.Sprint("meters-", meters), func(t *testing.T) {
			w := newWire(t)
			r := flowRoot(t, fmt.Sprintf(`uri = "flow://v1", meters = %d`, meters))
			r.forAll(".", "log")
			p := w.start(r, "-p")
			if got := p.status("CapPrm"); got != "0000000000000000" {
				t.Errorf("CapPrm: got %s, want none", got)
			}
			w.replay("v0", ours("own-proto"), "--pps=3000")
			w.ip("link", "set", "v1", "down")
			p.until("down", func() bool { return strings.Contains(p.text(), "interface is down") })
			w.ip("link", "set", "v1", "up")
			p.until("up", func() bool { return strings.Contains(p.text(), "interface is back") })
			w.unplug()
			p.until("removed", func() bool { return strings.Contains(p.text(), "interface was removed") })
			w.plug()
			p.until("back", func() bool { return strings.Count(p.text(), "interface is back") == 2 })
			w.replay("v0", ours("own-many"), "--pps=3000")
			w.ip("link", "set", "v1", "down")
			p.until("down again", func() bool { return strings.Count(p.text(), "interface is down") == 2 })
			w.ip("link", "set", "v1", "name", "v9")
			w.ip("link", "set", "v9", "up")
			p.until("renamed", func() bool {
				return strings.Contains(p.text(), "interface has another name now") && strings.Count(p.text(), "interface is back") == 3
			})
			w.ip("link", "set", "v9", "down")
			p.until("down under its new name", func() bool { return strings.Contains(p.text(), `remedy="ip link set v9 up"`) })
			w.ip("link", "set", "v9", "up")
			p.until("up under its new name", func() bool { return strings.Count(p.text(), "interface is back") == 4 })
			w.replay("v0", ours("own-icmp"), "--pps=3000")
			p.stop()
			want, others := fromFile(t, ours("own-proto"), ours("own-many"), ours("own-icmp"))
			p.wantFlows(want, others)
			if n := p.counter("interfaces_lost_total"); n < 2 {
				t.Errorf("got %d losses of the interface, want 2 or more", n)
			}
		})
	}
}

func TestFlowInterfaceThatIsNotThereYet(t *testing.T) {
	w := newWire(t)
	w.unplug()
	p := w.start(flowRoot(t, `uri = "flow://v1"`))
	p.until("absent", func() bool { return strings.Contains(p.text(), "there is no such interface") })
	w.plug()
	p.until("captured", func() bool { return strings.Contains(p.text(), "capturing") })
	w.replay("v0", ours("own-proto"), "--pps=3000")
	p.stop()
	want, others := fromFile(t, ours("own-proto"))
	p.wantFlows(want, others)
}

// A reload that leaves the row alone leaves its flows alone.
func TestFlowSurvivesReload(t *testing.T) {
	w := newWire(t)
	r := flowRoot(t, `uri = "flow://v1"`)
	p := w.start(r)
	first, second := split(t, ours("own-http4"), 20)
	w.replay("v0", first, "--pps=3000")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `outputs = {`, `outputs = { {tag = "more", uri = "null://"},`, 1))
	p.signal(syscall.SIGHUP)
	p.until("reloaded", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
	w.replay("v0", second, "--pps=3000")
	p.stop()
	want, others := fromFile(t, ours("own-http4"))
	p.wantFlows(want, others)
}

// A row that wants a ring anew is refused when the right is gone, and the old one goes on.
func TestFlowReloadWithoutTheRight(t *testing.T) {
	w := newWire(t)
	r := flowRoot(t, `uri = "flow://v1"`)
	r.forAll(".", "log")
	p := w.start(r, "-p")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "flow://v1", "flow://v0", 1))
	p.signal(syscall.SIGHUP)
	p.until("refused", func() bool { return strings.Contains(p.text(), "the old one goes on until a restart") })
	if !strings.Contains(p.text(), "config.lua:1: inputs[1].uri: capturing packets needs CAP_NET_RAW") {
		t.Errorf("the reason is not told:\n%s", p.text())
	}
	w.replay("v0", ours("own-proto"), "--pps=3000")
	p.stop()
	want, others := fromFile(t, ours("own-proto"))
	p.wantFlows(want, others)
}

// While the sink does not take anything, the queue, then the ring fill up; what the kernel then drops is counted.
func TestFlowCountsWhatTheKernelDrops(t *testing.T) {
	w := newWire(t)
	r := flowRoot(t, `uri = "flow://v1", events = {"flow"}, max_flows = 16, ring_size = "1MiB", queue = "64KiB", promiscuous = false`)
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), "file://out.json", "unix://"+r.path("sink"), 1)+"\nmax_in_flight = 100\n")
	l, err := net.Listen("unix", r.path("sink"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := w.start(r)
	const sent = 60_000
	w.replay("v0", datagrams(t, sent), "--pps=30000")
	p.until("a warning", func() bool {
		return strings.Contains(p.text(), "the kernel drops packets") && strings.Contains(p.text(), "remedy")
	})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	lines := make(chan int)
	go func() {
		n, buf := 0, make([]byte, 1<<16)
		for {
			m, err := conn.Read(buf)
			n += strings.Count(string(buf[:m]), "\n")
			if err != nil {
				lines <- n
				return
			}
		}
	}()
	p.stop()
	frames, dropped := p.counter("frames_total"), p.counter("kernel_dropped_total")
	if n := <-lines; dropped == 0 || frames+dropped != sent || n != frames {
		t.Errorf("got %d frames, %d dropped, %d events; want %d frames in all, an event each:\n%s", frames, dropped, n, sent, p.text())
	}
}

func TestFlowNeedsTheRight(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		skip(t, "%v", err)
	}
	r := flowRoot(t, `uri = "flow://lo"`)
	text, err := exec.Command("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", binary, "-r", r.dir).CombinedOutput()
	if err == nil || !strings.Contains(string(text), "config.lua:1: inputs[1].uri: capturing packets needs CAP_NET_RAW") || !strings.Contains(string(text), "AmbientCapabilities") {
		t.Errorf("got %v: %s", err, text)
	}
}

func TestFlowConfigErrors(t *testing.T) {
	for row, want := range map[string]string{
		`uri = "flow://"`:                                      "names no interface",
		`uri = "flow://eth0,eth0"`:                             "twice",
		`uri = "flow://averyveryverylongname"`:                 "longer than 15 bytes",
		`uri = "flow://eth0", filter = "tcp prot 80"`:          "at character 5",
		`uri = "flow://eth0", meters = 0`:                      "meters",
		`uri = "flow://eth0", events = {"dns", "tsl"}`:         "tsl",
		`uri = "flow://eth0", filter = "host www.example.org"`: "names are not looked up",
	} {
		r := flowRoot(t, row)
		if code, out := r.run("check"); code != 78 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want 78 and %q:\n%s", row, code, want, out)
		}
	}
}
