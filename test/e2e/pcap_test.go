package e2e

import (
	"bytes"
	"compress/gzip"
	bytesof "encoding/binary"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// meters is a root that meters captures. The analyzer takes its time, so that a test can kill the process in the middle.
func meters(t *testing.T, uri, options string, idle int) *root {
	return newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "cap", uri = "`+uri+`", script = "f", default_analyzer = "a"`+options+`} }
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/a.lua --
function loop(e)
  for i = 1, `+strconv.Itoa(idle)+` do end
  dragonfly.output_event(default_output, e)
end
`)
}

// capture returns a capture of the tests, n times one behind the other with an hour between, so that all flows end in each.
func capture(t *testing.T, name string, n int) []byte {
	t.Helper()
	b, err := os.ReadFile("../data/pcap/" + name)
	if err != nil {
		t.Fatal(err)
	}
	head, frames := b[:24], b[24:]
	out := slices.Clone(head)
	for range n {
		out = append(out, frames...)
		for at := 0; at < len(frames); at += 16 + int(bytesof.LittleEndian.Uint32(frames[at+8:])) {
			bytesof.LittleEndian.PutUint32(frames[at:], bytesof.LittleEndian.Uint32(frames[at:])+3600)
		}
	}
	return out
}

func gzipBytes(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

func (r *root) put(name string, b []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), b, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func eventsOf(text string) []string {
	list := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(list)
	return list
}

// TestCaptureSurvivesKills: after each kill -9 in the middle the metering goes on; no event is lost, and what comes twice is
// what was not yet in the checkpoint.
func TestCaptureSurvivesKills(t *testing.T) {
	f := func(name, glob, options string, files map[string][]byte) {
		t.Run(name, func(t *testing.T) {
			want := meters(t, "pcap://$ROOT/"+glob, options, 1)
			r := meters(t, "pcap://$ROOT/"+glob, options, 25000)
			for name, b := range files {
				want.put(name, b)
				r.put(name, b)
			}
			want.drained("dropped 0 + dead-lettered 0 + in flight 0")
			all := eventsOf(want.read("log/out.json"))
			if len(all) < 5000 {
				t.Fatalf("only %d events", len(all))
			}
			finished := regexp.MustCompile(`"offset": ([0-9]+)`)
			checkpoint := func() (n int) {
				for _, m := range finished.FindAllStringSubmatch(r.read("state/checkpoint.json"), -1) {
					k, _ := strconv.Atoi(m[1])
					n += k
				}
				return n
			}
			kills, before := 0, 0
			for range 2 {
				p := r.launch("-x")
				p.until("a checkpoint in the middle", func() bool { return checkpoint() > before })
				before = checkpoint()
				beyond := r.lines("log/out.json") + 200
				p.until("events that are not in the checkpoint", func() bool { return r.lines("log/out.json") >= min(beyond, len(all)) })
				p.cmd.Process.Kill()
				<-p.ended
				if r.lines("log/out.json") < len(all) {
					kills++
				}
			}
			if kills == 0 {
				t.Error("no kill was in the middle")
			}
			delivered := r.lines("log/out.json")
			out := r.drained("dropped 0 + dead-lettered 0 + in flight 0")
			if !strings.Contains(out, "metering again what was metered before") || strings.Contains(out, "delivered again") {
				t.Errorf("got %s", out)
			}
			got := eventsOf(r.read("log/out.json"))
			if again := r.lines("log/out.json") - delivered; again > len(all)-before {
				t.Errorf("the last start delivered %d events, though %d of %d were finished", again, before, len(all))
			}
			if once := slices.Compact(slices.Clone(got)); !slices.Equal(once, slices.Compact(slices.Clone(all))) {
				t.Errorf("got %d different events, want %d", len(once), len(all))
			}
			t.Logf("%d events, %d of them delivered twice after %d kills", len(all), len(got)-len(all), kills)
		})
	}
	whole := capture(t, "own-proto.pcap", 400)
	f("one file", "in.pcap", "", map[string][]byte{"in.pcap": whole})
	half := 24
	for n := 0; n < 200*297/2; n++ {
		half += 16 + int(bytesof.LittleEndian.Uint32(whole[half+8:]))
	}
	f("two files, packed, three meters", "*.pcap*", ", meters = 3", map[string][]byte{
		"b.pcap.gz": gzipBytes(whole[:half]), "a.pcap": append(slices.Clone(whole[:24]), whole[half:]...)})
}

func TestCaptureFromStandardInput(t *testing.T) {
	r := meters(t, "pcap://-", "", 1)
	cmd := exec.CommandContext(t.Context(), binary, "-r", r.dir, "-x")
	cmd.Stdin = bytes.NewReader(gzipBytes(capture(t, "own-many.pcap", 1)))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "cap: read 60 = delivered 60") || r.lines("log/out.json") != 60 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDamagedCaptureEndsARunWithX(t *testing.T) {
	r := meters(t, "pcap://$ROOT/*.pcap", "", 1)
	whole := capture(t, "own-many.pcap", 1)
	r.put("a.pcap", whole[:len(whole)-5])
	r.put("b.pcap", []byte("this is not a capture at all"))
	code, out := r.run("-x")
	if code != 1 || !strings.Contains(out, "read 60 = delivered 60") {
		t.Errorf("exit %d: %s", code, out)
	}
	for _, want := range []string{"input cap: the source is damaged: ", r.dir + "/a.pcap: frame 600 at byte ", ": the capture is cut off: unexpected EOF", r.dir + "/b.pcap: no capture: it begins with 74 68 69 73"} {
		if !strings.Contains(out, want) {
			t.Errorf("no line says %q: %s", want, out)
		}
	}
}

func TestCapturesInTheLogDirectoryAreMeteredOnce(t *testing.T) {
	r := meters(t, "pcap://cap*.pcap", `, checkpoint = true, events = {"flow"}`, 1)
	r.put("log/cap1.pcap", capture(t, "own-many.pcap", 1))
	out := r.drained("cap: read 60 = delivered 60")
	for _, want := range []string{"frames_total 600", "packets_total 600", "flows_total 60"} {
		if !strings.Contains(out, "counter: input cap: "+want) {
			t.Errorf("no counter says %s: %s", want, out)
		}
	}
	if out := r.drained("cap: read 0"); strings.Contains(out, "metering again") {
		t.Errorf("got %s", out)
	}
	r.put("log/cap2.pcap", capture(t, "own-rst.pcap", 1))
	if r.drained("cap: read"); r.lines("log/out.json") <= 60 {
		t.Error("the new capture was not metered")
	}
}

func TestWrongCaptureOptionsAreShown(t *testing.T) {
	for options, want := range map[string]string{
		"udp_newt = 1":       `inputs[1].udp_newt: unknown key (did you mean "udp_new"?)`,
		`events = "dsn"`:     `inputs[1].events: has "dsn", want some of flow, dns`,
		"tcp_new = -1":       "inputs[1].tcp_new: is -1",
		`features = "x"`:     `inputs[1].features: is "x", want one of`,
		`checkpoint = "yes"`: `inputs[1].checkpoint: is "yes", want true, false or "auto"`,
	} {
		code, out := meters(t, "pcap://x.pcap", ", "+options, 1).run("check")
		if code != 78 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no line says %q: %s", code, want, out)
		}
	}
}

func TestFlowsOfAStream(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), binary, "flows", "--json", "-")
	cmd.Stdin = bytes.NewReader(capture(t, "own-many.pcap", 1))
	out, err := cmd.Output()
	if err != nil || bytes.Count(out, []byte("\n")) != 60 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCaptureUnderConfinement: a capture that only root can read is opened before the process gives up its rights.
func TestCaptureUnderConfinement(t *testing.T) {
	needRoot(t)
	r := meters(t, "pcap://$ROOT/secret/*.pcap", "", 1)
	if err := os.Mkdir(r.path("secret"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i, part := range []int{1, 2} {
		r.put("secret/"+strconv.Itoa(part)+".pcap", capture(t, []string{"own-many.pcap", "own-proto.pcap"}[i], 1))
		if err := os.Chmod(r.path("secret/"+strconv.Itoa(part)+".pcap"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.forAll("log", "state")
	code, out := r.run("-x", "-p", "-c", t.TempDir())
	if code != 0 || !strings.Contains(out, "flows_total ") || !strings.Contains(out, "in flight 0") || r.lines("log/out.json") < 80 {
		t.Errorf("exit %d, %d events: %s", code, r.lines("log/out.json"), out)
	}
}

// TestCaptureGoesOnAfterAReload: a changed configuration takes over in the middle of a capture; each event comes once.
func TestCaptureGoesOnAfterAReload(t *testing.T) {
	whole := capture(t, "own-proto.pcap", 100)
	want := meters(t, "pcap://$ROOT/in.pcap", "", 1)
	r := meters(t, "pcap://$ROOT/in.pcap", "", 25000)
	want.put("in.pcap", whole)
	r.put("in.pcap", whole)
	want.drained("in flight 0")
	all := eventsOf(want.read("log/out.json"))
	p := r.start()
	for i, n := range []int{100, 1000} {
		p.until("events", func() bool { return r.lines("log/out.json") >= n })
		r.write("scripts/config.lua", r.read("scripts/config.lua")+"\nmax_in_flight = "+strconv.Itoa(1000+i)+"\n")
		p.signal(syscall.SIGHUP)
		p.until("the new configuration", func() bool { return strings.Count(p.text(), "threads running") >= i+2 })
	}
	p.until("all events", func() bool { return r.lines("log/out.json") >= len(all) })
	out := p.stop()
	if got := eventsOf(r.read("log/out.json")); !slices.Equal(got, all) || strings.Contains(out, "delivered again") {
		t.Errorf("got %d events, want %d: %s", len(got), len(all), out)
	}
}
