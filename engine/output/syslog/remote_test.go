package syslog

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

// deadline of whatever a test waits for: the machine may be slow.
const deadline = 60 * time.Second

func newOutput(t *testing.T, scheme, address string, set engine.Values) engine.Output {
	t.Helper()
	kind := map[string]engine.OutputKind{"syslog+udp": UDPKind, "syslog+tcp": TCPKind, "syslog+tls": TLSKind}[scheme]
	v := engine.Values{"hostname": "ids"}
	maps.Copy(v, set)
	out, _ := rig.NewOutput(t, kind, scheme+"://"+address, v)
	return out
}

func events(t testing.TB, list ...string) []engine.Event { t.Helper(); return rig.Events(t, list...) }

const alert = `{"timestamp":"2026-11-21T10:00:00.123456+0100","flow_id":7,"event_type":"alert","src_ip":"192.0.2.1","src_port":1234,"dest_ip":"2001:db8::1","dest_port":80,"proto":"TCP",` +
	`"alert":{"action":"blocked","gid":1,"signature_id":2000001,"rev":3,"signature":"a|b\\c=d","category":"x=y\\z\nnew|line","severity":2},"http":{"hostname":"h","url":"/?a=b"}}`

func TestMessages(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		set         engine.Values
		event, want string
	}{
		{nil, alert, "<132>1 2026-11-21T10:00:00.123456+01:00 ids dragonfly " + pid + " alert - " + alert},
		{engine.Values{"facility": "auth", "severity": "debug", "app": "x", "message": "cee"}, alert, "<39>1 2026-11-21T10:00:00.123456+01:00 ids x " + pid + " alert - @cee: " + alert},
		{engine.Values{"facility": "auto", "hostname": ""}, `{"timestamp":"2026-11-21T10:00:00Z","host":"fw 1","syslog":{"facility":"mail","severity":"crit"}}`,
			`<18>1 2026-11-21T10:00:00.000000Z fw_1 dragonfly ` + pid + ` - - {"timestamp":"2026-11-21T10:00:00Z","host":"fw 1","syslog":{"facility":"mail","severity":"crit"}}`},
		{engine.Values{"message": "cef"}, alert, "<132>1 2026-11-21T10:00:00.123456+01:00 ids dragonfly " + pid + ` alert - CEF:0|OISF|Suricata||2000001|a\|b\\c=d|7|rt=1795251600123 dvchost=ids deviceEventCategory=alert` +
			` src=192.0.2.1 c6a3Label=Destination IPv6 Address c6a3=2001:db8::1 spt=1234 dpt=80 proto=TCP cat=x\=y\\z\nnew|line act=blocked externalId=7 dhost=h request=/?a\=b cs1Label=gid cs1=1 cs2Label=rev cs2=3`},
	} {
		f, err := newFormat(newOutput(t, "syslog+udp", "127.0.0.1", c.set).(*remote).values(c.set))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(f.append(nil, &events(t, c.event)[0])); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	f, _ := newFormat(engine.Values{"format": "rfc3164", "message": "json", "facility": "local0", "severity": "auto", "app": "a", "hostname": "ids"})
	if got := string(f.append(nil, &events(t, alert)[0])); !regexp.MustCompile(`^<132>Nov 2[01] \d\d:\d0:00 ids a\[\d+\]: \{"t`).MatchString(got) {
		t.Errorf("RFC 3164: got %s", got)
	}
	if got := string(f.append(nil, &events(t, `[1]`)[0])); !strings.HasSuffix(got, ": [1]") {
		t.Errorf("no object: got %s", got)
	}
}

// values returns the defaults with set.
func (*remote) values(set engine.Values) engine.Values {
	all := engine.Values{"hostname": "ids"}
	for _, o := range options {
		if o.Default != nil {
			all[o.Key] = o.Default
		}
	}
	for k, v := range set {
		all[k] = v
	}
	return all
}

// readOctets reads messages with octet counting.
func readOctets(r *bufio.Reader) (string, error) {
	var n int
	if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
		return "", err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return string(b), err
}

func TestStreamReconnectsAndNumbersAreExact(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := newOutput(t, "syslog+tcp", l.Addr().String(), engine.Values{"max_message": int64(500)})
	n, err := out.Write(t.Context(), events(t, `{"n":1}`, `{"n":"`+strings.Repeat("x", 500)+`"}`, `{"n":2}`))
	var reject *engine.RejectError
	if n != 1 || !errors.As(err, &reject) {
		t.Fatalf("too long: got %d, %v", n, err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(deadline))
	if got, err := readOctets(bufio.NewReader(conn)); err != nil || !strings.HasSuffix(got, ` {"n":1}`) {
		t.Fatalf("got %q, %v", got, err)
	}
	conn.Close()
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) { // until the kernel has told
		n, err := out.Write(t.Context(), nil)
		if err != nil {
			if n != 0 || !strings.Contains(err.Error(), "has closed the connection") {
				t.Fatalf("got %d, %v", n, err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("the end of the connection is not noticed")
		}
	}
	if n, err := out.Write(t.Context(), events(t, `{"n":2}`)); n != 1 || err != nil {
		t.Fatalf("again: %d, %v", n, err)
	}
}

func TestServerThatDoesNotRead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	out := newOutput(t, "syslog+tcp", l.Addr().String(), engine.Values{"write_timeout": 300 * time.Millisecond, "framing": "lines"})
	batch := make([]string, 1000) // more than kernels keep
	for i := range batch {
		batch[i] = fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 32<<10))
	}
	n, err := out.Write(t.Context(), events(t, batch...))
	if err == nil || n >= len(batch) {
		t.Fatalf("got %d, %v", n, err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	r := bufio.NewReader(conn)
	for i := range n { // what was not confirmed may follow, or be lost with the connection
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, fmt.Sprintf(`{"n":%d,`, i)) {
			t.Fatalf("%d messages were said to be delivered, %d is %.80q, %v", n, i, line, err)
		}
	}
}

func TestDatagrams(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	out := newOutput(t, "syslog+udp", c.LocalAddr().String(), nil)
	n, err := out.Write(t.Context(), events(t, `{"n":1}`, `{"n":"`+strings.Repeat("x", 70000)+`"}`))
	var reject *engine.RejectError
	if n != 1 || !errors.As(err, &reject) {
		t.Fatalf("got %d, %v", n, err)
	}
	buf := make([]byte, 1000)
	c.SetReadDeadline(time.Now().Add(deadline))
	if n, _, err := c.ReadFrom(buf); err != nil || !strings.HasSuffix(string(buf[:n]), ` alert - {"n":1}`) && !strings.HasSuffix(string(buf[:n]), ` - - {"n":1}`) {
		t.Errorf("got %s, %v", buf[:n], err)
	}
}

func TestTLS(t *testing.T) {
	authority := parts.Certify(t, nil, "127.0.0.1", "localhost")
	cert, key := authority.Write(t, t.TempDir(), "x")
	pair := authority.Pair(t)
	for _, c := range []struct {
		name string
		set  engine.Values
		auth tls.ClientAuthType
		want string
	}{
		{"good", engine.Values{"tls_ca": cert}, tls.NoClientCert, ""},
		{"mutual", engine.Values{"tls_ca": cert, "tls_cert": cert, "tls_key": key}, tls.RequireAnyClientCert, ""},
		{"unknown authority", engine.Values{}, tls.NoClientCert, "tls_ca says who may sign it"},
		{"client certificate is missing", engine.Values{"tls_ca": cert}, tls.RequireAnyClientCert, "refuses us after the TLS handshake"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: c.auth})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got := make(chan string, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if s, err := readOctets(bufio.NewReader(conn)); err == nil {
					got <- s
				}
			}()
			out := newOutput(t, "syslog+tls", l.Addr().String(), c.set)
			if c.want != "" { // a busy machine is late
				out.(*remote).Refusal = deadline
			}
			n, err := out.Write(t.Context(), events(t, `{"n":1}`))
			if c.want != "" {
				if n != 0 || err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %d, %v, want %q", n, err, c.want)
				}
				return
			}
			if n != 1 || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
			select {
			case s := <-got:
				if !strings.HasSuffix(s, `{"n":1}`) {
					t.Errorf("got %s", s)
				}
			case <-time.After(deadline):
				t.Error("nothing arrives")
			}
		})
	}
}

func BenchmarkFormat(b *testing.B) {
	for _, message := range []string{"json", "cef"} {
		b.Run(message, func(b *testing.B) {
			f, _ := newFormat(engine.Values{"message": message, "facility": "local0", "severity": "auto", "app": "a", "hostname": "ids"})
			ev := events(b, alert)[0]
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = f.append(buf[:0], &ev)
			}
		})
	}
}

// FuzzCEF: whatever an event holds, the line has its seven fields and no line end.
func FuzzCEF(f *testing.F) {
	f.Add(alert)
	f.Add(`{"alert":{"signature":"|\\\r\n","signature_id":"|"},"http":{"url":"=\n"}}`)
	f.Fuzz(func(t *testing.T, body string) {
		ev, err := engine.NewEvent(body)
		if err != nil {
			return
		}
		format, _ := newFormat(engine.Values{"message": "cef", "cef_vendor": "a|b", "cef_product": `c\`, "severity": "auto", "app": "a"})
		line := string(format.append(nil, &ev))
		if strings.ContainsAny(line, "\r\n") {
			t.Fatalf("%q", line)
		}
		_, line, _ = strings.Cut(line, "CEF:0")
		bars, escaped := 0, false
		for i := 0; i < len(line) && bars < 7; i++ {
			switch {
			case escaped:
				escaped = false
			case line[i] == '\\':
				escaped = true
			case line[i] == '|':
				if bars++; bars == 7 && !strings.HasPrefix(line[i:], "|rt=") {
					t.Fatalf("%q", line)
				}
			}
		}
		if bars != 7 {
			t.Fatalf("%d bars in %q", bars, line)
		}
	})
}
