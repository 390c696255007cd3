package e2e

import (
	"bytes"
	bin "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// wire is a veth pair v0 - v1 in a network namespace of its own: what is replayed on v0 arrives at v1.
type wire struct {
	t  *testing.T
	ns string
}

func newWire(t *testing.T) *wire {
	needRoot(t)
	for _, tool := range []string{"ip", "tcpreplay", "ethtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			skip(t, "%v: sh test/setup.sh installs it", err)
		}
	}
	w := &wire{t, fmt.Sprintf("dfly-%d-%s", os.Getpid(), strings.ToLower(t.Name()[max(0, len(t.Name())-8):]))}
	w.ns = strings.ReplaceAll(w.ns, "/", "-")
	if text, err := exec.Command("ip", "netns", "add", w.ns).CombinedOutput(); err != nil {
		skip(t, "no network namespaces here: %v: %s", err, text)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", w.ns).Run() })
	w.plug()
	return w
}

// ip runs ip in the namespace.
func (w *wire) ip(args ...string) {
	w.t.Helper()
	if text, err := exec.Command("ip", append([]string{"-n", w.ns}, args...)...).CombinedOutput(); err != nil {
		w.t.Fatalf("ip %v: %v: %s", args, err, text)
	}
}

// in returns a command that runs in the namespace.
func (w *wire) in(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", w.ns}, args...)...)
}

// plug makes the pair. Nothing but what is replayed goes over it: no neighbour discovery; and no packet is merged.
func (w *wire) plug() {
	w.t.Helper()
	w.ip("link", "add", "v0", "mtu", "65535", "type", "veth", "peer", "name", "v1", "mtu", "65535")
	for _, dev := range []string{"v0", "v1"} {
		if text, err := w.in("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/"+dev+"/disable_ipv6").CombinedOutput(); err != nil {
			w.t.Logf("disable_ipv6: %v: %s", err, text) // there may be none
		}
		if text, err := w.in("ethtool", "-K", dev, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off").CombinedOutput(); err != nil {
			w.t.Fatalf("ethtool: %v: %s", err, text)
		}
		w.ip("link", "set", dev, "up")
	}
}

// unplug removes the pair.
func (w *wire) unplug() { w.ip("link", "del", "v0") }

// replay sends a capture over an interface and wants every frame sent.
func (w *wire) replay(dev, pcap string, args ...string) {
	w.t.Helper()
	cmd := w.in(append(append([]string{"tcpreplay", "-i", dev}, args...), pcap)...)
	text, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "Failed packets:            0") {
		w.t.Fatalf("tcpreplay: %v: %s", err, text)
	}
}

// suricata starts a Suricata in the namespace, with the root's suricata.yaml, which captures on v1 and logs below the root.
// ended gets its end. It is killed with the test.
func (w *wire) suricata(r *root) (cmd *exec.Cmd, ended <-chan error) {
	w.t.Helper()
	if err := os.Mkdir(r.path("suricata"), 0o777); err != nil {
		w.t.Fatal(err)
	}
	log, err := os.Create(r.path("suricata.log"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd = w.in("suricata", "-v", "-c", r.path("suricata.yaml"), "--af-packet=v1", "-l", r.path("suricata"), "-k", "none")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() { end <- cmd.Wait() }()
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Log(r.read("suricata.log"))
		}
	})
	return cmd, end
}

// start starts dragonfly in the namespace.
func (w *wire) start(r *root, args ...string) *process {
	w.t.Helper()
	outside := binary
	defer func() { binary = outside }()
	script := filepath.Join(w.t.TempDir(), "inside")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nexec ip netns exec "+w.ns+" "+outside+" \"$@\"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	binary = script
	return r.start(args...)
}

// ours is the path of one of our captures.
func ours(name string) string {
	path, err := filepath.Abs("../data/pcap/" + name + ".pcap")
	if err != nil {
		panic(err)
	}
	return path
}

// flowRoot is a root whose scripts hand on what input, a row without tag and script, emits.
func flowRoot(t *testing.T, row string) *root {
	r := passThrough(t, "UNUSED")
	config := r.read("config/config.lua")
	r.write("config/config.lua", strings.Replace(config, `uri = "UNUSED"`, row, 1))
	return r
}

// flows returns the flow events of a file, each as one line with all that does not depend on when and where it was captured,
// sorted; and the number of other events by type.
func flows(t *testing.T, text string) (list []string, others map[string]int) {
	t.Helper()
	others = map[string]int{}
	for line := range strings.Lines(text) {
		var e struct {
			EventType string `json:"event_type"`
			SrcIP     string `json:"src_ip"`
			SrcPort   int    `json:"src_port"`
			DestIP    string `json:"dest_ip"`
			DestPort  int    `json:"dest_port"`
			Proto     string
			AppProto  string `json:"app_proto"`
			VLAN      []int
			ICMPType  *int `json:"icmp_type"`
			Flow      struct {
				PktsToserver  int `json:"pkts_toserver"`
				PktsToclient  int `json:"pkts_toclient"`
				BytesToserver int `json:"bytes_toserver"`
				BytesToclient int `json:"bytes_toclient"`
				State         string
			}
			TCP         json.RawMessage
			CommunityID string `json:"community_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.EventType != "flow" {
			others[e.EventType]++
			continue
		}
		icmp := ""
		if e.ICMPType != nil {
			icmp = strconv.Itoa(*e.ICMPType)
		}
		list = append(list, fmt.Sprint(e.Proto, " ", e.SrcIP, " ", e.SrcPort, " ", e.DestIP, " ", e.DestPort, " ", e.AppProto, " ", e.VLAN, " ", icmp, " ", e.Flow, " ", string(e.TCP), " ", e.CommunityID))
	}
	slices.Sort(list)
	return list, others
}

// fromFile returns the flows that pcap:// makes of captures.
func fromFile(t *testing.T, pcaps ...string) ([]string, map[string]int) {
	t.Helper()
	all := ""
	for _, pcap := range pcaps {
		r := flowRoot(t, `uri = "pcap://`+pcap+`"`)
		r.drained("dead-lettered 0 + in flight 0")
		all += r.read("log/out.json")
	}
	return flows(t, all)
}

func (p *process) wantFlows(want []string, others map[string]int) {
	p.t.Helper()
	got, gotOthers := flows(p.t, p.read("log/out.json"))
	if !slices.Equal(got, want) {
		p.t.Errorf("got %d flows, want %d:\n%s\nwant\n%s\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"), p.text())
	}
	if fmt.Sprint(gotOthers) != fmt.Sprint(others) {
		p.t.Errorf("other events: got %v, want %v", gotOthers, others)
	}
}

// counter returns a counter of the report at the end.
func (p *process) counter(name string) int {
	_, rest, ok := strings.Cut(p.text(), ": "+name+" ")
	if !ok {
		return 0
	}
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		p.t.Fatalf("counter %s: %v", name, err)
	}
	return n
}

// split writes a capture as two, the first with n frames.
func split(t *testing.T, pcap string, n int) (first, second string) {
	t.Helper()
	b, err := os.ReadFile(pcap)
	if err != nil {
		t.Fatal(err)
	}
	at := 24
	for range n {
		at += 16 + int(bin.LittleEndian.Uint32(b[at+8:]))
	}
	dir := t.TempDir()
	first, second = filepath.Join(dir, "first.pcap"), filepath.Join(dir, "second.pcap")
	for path, part := range map[string][]byte{first: b[:at], second: append(bytes.Clone(b[:24]), b[at:]...)} {
		if err := os.WriteFile(path, part, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return first, second
}

// frameCount counts the frames of a capture.
func frameCount(t *testing.T, pcap string) (n int) {
	t.Helper()
	b, err := os.ReadFile(pcap)
	if err != nil {
		t.Fatal(err)
	}
	for at := 24; at < len(b); n++ {
		at += 16 + int(bin.LittleEndian.Uint32(b[at+8:]))
	}
	return n
}

// datagrams writes a capture of n UDP datagrams, a flow each.
func datagrams(t *testing.T, n int) string {
	t.Helper()
	head := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0}
	var b bytes.Buffer
	b.Write(head)
	for i := range n {
		f := make([]byte, 16+60)
		bin.LittleEndian.PutUint32(f, uint32(1_700_000_000+i/1000))
		bin.LittleEndian.PutUint32(f[4:], uint32(i%1000*1000))
		f[8], f[12] = 60, 60
		e := f[16:]
		copy(e, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46})
		e[22], e[23] = 64, 17
		copy(e[26:], []byte{10, byte(i >> 16), byte(i >> 8), byte(i), 10, 255, 0, 1})
		bin.BigEndian.PutUint16(e[34:], uint16(1024+i%50000))
		bin.BigEndian.PutUint16(e[36:], 9)
		bin.BigEndian.PutUint16(e[38:], 26)
		b.Write(f)
	}
	path := filepath.Join(t.TempDir(), "datagrams.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
