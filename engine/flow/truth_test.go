package flow

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// event is an event as both meters write it, without what is chance (flow_id, reason) and what package app decides.
type event map[string]any

// left are members that are not compared, with the reason.
var left = map[string]string{
	"flow_id":            "ours is made of the key and the time, Suricata's is random",
	"parent_id":          "of flows that an FTP session announced",
	"timestamp":          "when Suricata's flow manager came by, if the flow did not last until the end of the capture",
	"flow.reason":        "whether the flow manager came by before the end of the capture",
	"app_proto":          "package app tests it",
	"app_proto_ts":       "the same",
	"app_proto_tc":       "the same",
	"app_proto_orig":     "the same",
	"app_proto_expected": "the same",
	"tcp.ts_gap":         "what package app missed",
	"tcp.tc_gap":         "the same",
}

func (e event) text(path string) string {
	var v any = map[string]any(e)
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if v == nil {
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func (e event) paths(into map[string]bool) {
	for name, v := range e {
		if m, ok := v.(map[string]any); ok {
			for inner := range m {
				into[name+"."+inner] = true
			}
			continue
		}
		into[name] = true
	}
}

// tuple is what pairs an event of ours with one of Suricata's.
func (e event) tuple() string {
	var b strings.Builder
	for _, path := range []string{"src_ip", "src_port", "dest_ip", "dest_port", "proto", "icmp_type", "icmp_code", "spi", "vlan"} {
		fmt.Fprint(&b, e.text(path), " ")
	}
	return b.String()
}

// otherID reports whether Suricata's community_id is known to differ from the specification.
func (e event) otherID() bool {
	proto := e.text("proto")
	return e.text("src_ip") == e.text("dest_ip") || proto == `"ESP"` ||
		(proto == `"ICMP"` || proto == `"IPv6-ICMP"`) && e.oneWay()
}

func (e event) oneWay() bool {
	a := &answers.v6
	if e.text("proto") == `"ICMP"` {
		a = &answers.v4
	}
	return !a[int(e["icmp_type"].(float64))].ok
}

func differences(got, want event) (list []string) {
	paths := map[string]bool{}
	got.paths(paths)
	want.paths(paths)
	for path := range paths {
		if left[path] != "" || path == "community_id" && want.otherID() {
			continue
		}
		if g, w := got.text(path), want.text(path); g != w {
			list = append(list, fmt.Sprintf("%s: got %s, want %s", path, g, w))
		}
	}
	sort.Strings(list)
	return list
}

func decodeEvent(t testing.TB, line []byte) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return e
}

// meterFile returns the flow events of a capture.
func meterFile(t testing.TB, file string) (events []event) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcap.New(f)
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{VLAN: true, App: app.Config{}}, func(b []byte) {
		if e := decodeEvent(t, b); e.text("event_type") == `"flow"` {
			events = append(events, e)
		}
	})
	d := packet.NewDecoder()
	var frame packet.Frame
	var packets []packet.Packet
	for {
		err := r.Next(&frame)
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = d.Decode(&frame, packets[:0])
		for i := range packets {
			m.Packet(&packets[i])
		}
	}
	m.CloseAt(frame.Time)
	if s := m.Stats(); s.Packets != s.OtherProtocol+s.ICMPErrors+s.Reported || s.Active != 0 {
		t.Errorf("packets are missing from the books: %+v", s)
	}
	return events
}

// fromSuricata returns the flow events of a file of raw events, or of a .suricata.json of the shared data.
func fromSuricata(t *testing.T, file string) (events []event) {
	t.Helper()
	if strings.HasSuffix(file, ".json") {
		b, err := os.ReadFile(file)
		var all struct{ Raw []event }
		if err != nil || json.Unmarshal(b, &all) != nil {
			t.Fatal(file, err)
		}
		for _, e := range all.Raw {
			if e.text("event_type") == `"flow"` {
				events = append(events, e)
			}
		}
		return events
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		events = append(events, decodeEvent(t, lines.Bytes()))
	}
	return events
}

// compare pairs the events and returns how many of Suricata's have an equal one, and what is different.
func compare(got, want []event) (equal int, different []string) {
	rest := map[string][]event{}
	for _, e := range got {
		rest[e.tuple()] = append(rest[e.tuple()], e)
	}
	for _, e := range want {
		same := rest[e.tuple()]
		at := 0
		for i, g := range same {
			if g.text("flow.start") == e.text("flow.start") {
				at = i
				break
			}
		}
		if len(same) == 0 {
			different = append(different, "missing: "+e.tuple()+e.text("flow"))
			continue
		}
		if d := differences(same[at], e); len(d) > 0 {
			different = append(different, e.tuple()+strings.Join(d, "; "))
		} else {
			equal++
		}
		rest[e.tuple()] = append(same[:at:at], same[at+1:]...)
	}
	for _, same := range rest {
		for _, e := range same {
			different = append(different, "only ours: "+e.tuple()+e.text("flow"))
		}
	}
	sort.Strings(different)
	return equal, different
}

func TestFlowsAgreeWithSuricata(t *testing.T) {
	truths, _ := filepath.Glob("testdata/*.suricata.jsonl")
	if len(truths) < 6 {
		t.Fatalf("%d files in testdata", len(truths))
	}
	for _, truth := range truths {
		name := strings.TrimSuffix(filepath.Base(truth), ".suricata.jsonl")
		t.Run(name, func(t *testing.T) {
			capture := "testdata/" + name + ".pcap"
			if _, err := os.Stat(capture); err != nil {
				capture = "../../test/data/pcap/" + name + ".pcap"
			}
			want := fromSuricata(t, truth)
			equal, different := compare(meterFile(t, capture), want)
			if equal != len(want) || len(different) > 0 {
				t.Errorf("%d of %d flows are equal\n%s", equal, len(want), strings.Join(different, "\n"))
			}
		})
	}
}

// better are captures of which Suricata 7.0.10 makes fewer flows than there are: it does not decode them, or not whole.
var better = map[string]string{
	"own-snap96": "the capture cut the packets off, Suricata takes those for invalid",
	"sv-sll2":    "Suricata does not know LINUX_SLL2",
}

func TestFlowsAgreeWithSuricataOnSharedCaptures(t *testing.T) {
	var truths []string
	for _, dir := range []string{"ours/pcap", "reference/flows"} {
		found, _ := filepath.Glob("../../../shared/data/" + dir + "/*.suricata.json")
		truths = append(truths, found...)
	}
	if len(truths) == 0 {
		t.Skip("needs ../shared/data/ours/pcap or ../shared/data/reference/flows")
	}
	equal, all := 0, 0
	for _, truth := range truths {
		name := strings.TrimSuffix(filepath.Base(truth), ".suricata.json")
		t.Run(name, func(t *testing.T) {
			capture, _ := filepath.Glob(strings.TrimSuffix(truth, ".suricata.json") + ".pcap*")
			want := fromSuricata(t, truth)
			n, different := compare(meterFile(t, capture[0]), want)
			equal, all = equal+n, all+len(want)
			if why := better[name]; why != "" {
				t.Logf("%s: %s", why, strings.Join(different, "\n"))
				if len(different) == 0 {
					t.Error("there is nothing different any longer")
				}
				return
			}
			if len(different) > 0 {
				t.Errorf("%d of %d flows are equal\n%s", n, len(want), strings.Join(different, "\n"))
			}
		})
	}
	t.Logf("%d of %d flows of Suricata are equal", equal, all)
	if equal*100 < all*98 {
		t.Errorf("only %d of %d flows of Suricata are equal", equal, all)
	}
}
