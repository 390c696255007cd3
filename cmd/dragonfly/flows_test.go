package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const captureDir = "../../test/data/pcap/"

// flows runs the command.
func flows(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), append([]string{"flows"}, args...), &out, &err)
	return code, out.String(), err.String()
}

func TestFlowsPrintsATable(t *testing.T) {
	code, out, errs := flows(t, captureDir+"own-many.pcap")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || errs != "" || len(lines) != 1+60+1 {
		t.Fatalf("exit %d, %d lines, %s", code, len(lines), errs)
	}
	for i, want := range []string{
		`^START +PROTO +CLIENT +SERVER .*PKTS> +<PKTS +BYTES> +<BYTES +TIME +STATE`,
		`^18:32:11\.071 +TCP +\[fd77::1\]:53932 +\[fd77::2\]:9002 .* 6 +4 +624 +452 +1ms +closed`,
	} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: got %q, want %s", i+1, lines[i], want)
		}
	}
	if want := "600 frames, 600 packets, 60 flows, 2026-11-20 18:32:11.071 to 2026-11-20 18:32:11.178 (106ms)"; lines[61] != want {
		t.Errorf("got %q, want %q", lines[61], want)
	}
}

func TestFlowsSortsAndSelects(t *testing.T) {
	column := func(line string, n int) string { return strings.Fields(line)[n] }
	for _, key := range []string{"bytes", "packets", "duration", "start"} {
		_, all, _ := flows(t, "--sort", key, "-q", captureDir+"own-proto.pcap", captureDir+"own-rst.pcap")
		_, some, _ := flows(t, captureDir+"own-proto.pcap", "-n", "7", "--sort="+key, captureDir+"own-rst.pcap", "-q")
		lines := strings.Split(strings.TrimSpace(all), "\n")[1:]
		first := strings.Split(strings.TrimSpace(some), "\n")[1:]
		if len(first) != 7 {
			t.Fatalf("%s: got %d rows, want 7", key, len(first))
		}
		for i := range first { // the widths may differ
			if strings.Join(strings.Fields(first[i]), " ") != strings.Join(strings.Fields(lines[i]), " ") {
				t.Errorf("%s: row %d: got %q, want %q", key, i+1, first[i], lines[i])
			}
		}
		if key == "start" && column(lines[0], 0) > column(lines[1], 0) {
			t.Errorf("%s: %s", key, lines[0])
		}
	}
}

func TestFlowsFilters(t *testing.T) {
	code, out, errs := flows(t, "--filter", "vlan 101 and tcp", captureDir+"own-vlan-two.pcap")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || errs != "" || len(lines) != 1+3+1 {
		t.Fatalf("exit %d, %s%s", code, out, errs)
	}
	for i, want := range []string{`SERVER +VLAN +APP`, `10\.77\.0\.2:8080 +101 +http`, `:8080 +101 +http`, `:8080 +101 +http`, `^78 frames, 78 packets, 3 flows`} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: got %q, want %s", i+1, lines[i], want)
		}
	}
}

func TestFlowsPrintsEvents(t *testing.T) {
	code, out, errs := flows(t, "--json", "--events", "flow", "--features", "nfstream", captureDir+"own-many.pcap")
	if code != exitOK || !strings.HasPrefix(errs, "600 frames, 600 packets, 60 flows") {
		t.Errorf("exit %d: %s", code, errs)
	}
	n := 0
	for line := range strings.Lines(out) {
		var e struct {
			Type string `json:"event_type"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Type != "flow" {
			t.Fatalf("%v: %s", err, line)
		}
		n++
	}
	if n != 60 {
		t.Errorf("got %d events, want 60", n)
	}
}

func TestFlowsSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(captureDir + "own-many.pcap")
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.pcap")
	if err := os.WriteFile(cut, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "no capture is named"},
		{[]string{"--sort", "size", "x"}, exitUsage, `--sort "size": want start, bytes, packets or duration`},
		{[]string{"-n", "-1", "x"}, exitUsage, "-n wants"},
		{[]string{"--json", "-n", "1", "x"}, exitUsage, "for rows"},
		{[]string{"--events", "dns", "x"}, exitUsage, "want --json"},
		{[]string{"--json", "--events", "dsn", "x"}, exitUsage, `--events has "dsn", want some of flow, dns`},
		{[]string{"--features", "x", "x"}, exitUsage, "want nfstream or cic"},
		{[]string{"--filter", "host or", "x"}, exitUsage, "--filter at character"},
		{[]string{"--meters", "0", "x"}, exitUsage, "--meters wants"},
		{[]string{"--nonsense", "x"}, exitUsage, "nonsense"},
		{[]string{dir + "/none", dir}, exitFailure, dir + " is a directory"},
		{[]string{dir + "/none", dir}, exitFailure, "no such file"},
		{[]string{cut, cut}, exitFailure, "is named twice"},
		{[]string{"flows_test.go"}, exitFailure, "flows_test.go: no capture: it begins with 70 61 63 6b"},
		{[]string{cut}, exitFailure, cut + ": frame 600 at byte "},
	} {
		code, out, errs := flows(t, tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: exit %d, want %d: %s", tt.args, code, tt.code, errs)
		}
		if tt.args != nil && tt.args[0] == cut && len(tt.args) == 1 && strings.Count(out, "TCP") != 60 {
			t.Errorf("of a cut capture: %s", out)
		}
	}
	if code, out, _ := flows(t, "-h"); code != exitOK || out != flowsUsage {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestFlowsTableFits: no row is wider than the terminal, whatever is in it, and the more room there is the more is shown.
func TestFlowsTableFits(t *testing.T) {
	rows := newFlowRows("start", 0)
	for i := range 50 {
		event := fmt.Sprintf(`{"event_type":"tls","flow_id":%d,"tls":{"sni":"host%d.%s.example\u001b[31m"}}`, i, i, strings.Repeat("long", i))
		flow := fmt.Sprintf(`{"event_type":"flow","flow_id":%d,"src_ip":"2001:0db8:0000:0000:0000:0000:0000:%04x","src_port":%d,"dest_ip":"2001:0db8:1111:2222:3333:4444:5555:%04x","dest_port":443,"proto":"TCP","app_proto":"tls",
"flow":{"pkts_toserver":%d,"pkts_toclient":4,"bytes_toserver":%d,"bytes_toclient":452,"start":"2026-11-20T18:32:11.071289+0000","end":"2026-11-2%dT18:32:11.072827+0000","state":"established"}}`,
			i, i, i+1, i, i*i*i, i*i*i*i*i*i*i, i%8+1)
		for _, e := range []string{event, flow} {
			if err := rows.Event([]byte(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	shown := 0
	for _, width := range []int{10, 40, 60, 80, 100, 120, 160, 200, 300, 0} {
		var out strings.Builder
		if err := rows.finish(&out, width); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); width > 0 && n > width {
				t.Fatalf("width %d: %d characters: %s", width, n, line)
			}
			if strings.ContainsRune(line, 0x1b) {
				t.Fatalf("not clean: %q", line)
			}
		}
		head, _, _ := strings.Cut(out.String(), "\n")
		n := len(strings.Fields(head))
		if n < shown {
			t.Errorf("width %d: %d columns, with less room %d", width, n, shown)
		}
		shown = n
		if width >= 60 && !strings.Contains(head, "BYTES") || width >= 200 && (!strings.Contains(head, "ABOUT") || !strings.Contains(head, "START")) {
			t.Errorf("width %d: %s", width, head)
		}
	}
	if shown != 12 {
		t.Errorf("got %d columns, want 12", shown)
	}
}

func TestAmountAndLasting(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 9999: "9999", 10_000: "10.0k", 99_949: "99.9k", 99_950: "100k", 999_499: "999k", 999_500: "1.0M", 18446744073709551615: "18.4E"} {
		if got := amount(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0ms", 999 * time.Millisecond: "999ms", 1500 * time.Millisecond: "1.5s", 100 * time.Second: "1m40s", 100 * time.Minute: "1h40m", 1000 * time.Hour: "41d16h"} {
		if got := lasting(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
