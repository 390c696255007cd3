package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var tagPattern = regexp.MustCompile(`tag = "(\w+)"`)

// exampleRoot is a root with test/examples/NAME.lua as config.lua, in which each first of pairs is replaced by the second, and the
// script keep, which sends each event to every output.
func exampleRoot(t *testing.T, name string, pairs ...string) *root {
	t.Helper()
	text, err := os.ReadFile("../examples/" + name + ".lua")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config, pairs[i]) {
			t.Fatalf("no %q in the example %s", pairs[i], name)
		}
		config = strings.ReplaceAll(config, pairs[i], pairs[i+1])
	}
	_, outputs, _ := strings.Cut(config, "outputs = {")
	var script strings.Builder
	for _, m := range tagPattern.FindAllStringSubmatch(outputs, -1) {
		fmt.Fprintf(&script, "  dragonfly.output_event(%q, e)\n", m[1])
	}
	return newRoot(t, "-- scripts/config.lua --\n"+config+"listen = \"\"\n-- scripts/keep.lua --\nfunction loop(e)\n"+script.String()+"end\n")
}

// alert is an event of the examples.
func alert(id int) string {
	return fmt.Sprintf(`{"timestamp":"2026-11-21T10:00:00.%06d+0000","event_type":"alert","src_ip":"10.0.0.1","dest_ip":"10.0.0.2","proto":"TCP","alert":{"signature_id":1,"signature":"s%d","severity":1},"id":%d}`, id, id, id)
}

// wantIDs waits until what seen returns has the ids up to n, and wants no other and none twice.
func (p *process) wantIDs(where string, n int, seen func() map[int]int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d events at %s", n, where), func() bool { return len(seen()) >= n })
	for id, times := range seen() {
		if id < 0 || id >= n || times != 1 {
			p.t.Errorf("%s: event %d is there %d times, of %d", where, id, times, n)
		}
	}
}

func TestExampleRedis(t *testing.T) {
	keys := &root{t, t.TempDir()}
	keys.selfSigned()
	port, safe := freePort(t), freePort(t)
	s := newRedis(t, "--bind", "127.0.0.1", "--port", port, "--tls-port", safe, "--tls-auth-clients", "no",
		"--tls-cert-file", keys.path("cert.pem"), "--tls-key-file", keys.path("key.pem"), "--tls-ca-cert-file", keys.path("cert.pem"))
	r := exampleRoot(t, "redis", "redis.example:6379", "127.0.0.1:"+port, "redis.example:6380", "127.0.0.1:"+safe)
	r.write("ca.pem", keys.read("cert.pem"))
	watched := subscribe(t, s, "watch:alert")
	p := r.start()
	p.until("the subscription", func() bool { return strings.HasSuffix(s.cli("PUBSUB", "NUMSUB", "suricata-channel"), "1") })
	for i := 0; i < 40; i += 4 {
		s.cli("LPUSH", "suricata", alert(i))
		s.cli("RPUSH", "suricata-rpush", alert(i+1))
		s.cli("PUBLISH", "suricata-channel", alert(i+2))
		s.cli("XADD", "suricata-stream", "*", "eve", alert(i+3))
	}
	from := func(args ...string) func() map[int]int {
		return func() map[int]int {
			var got tally
			got.add(idsIn(s.cli(append([]string{"--raw"}, args...)...))...)
			return got.seen()
		}
	}
	p.wantIDs("the list", 40, from("LRANGE", "work", "0", "-1"))
	p.wantIDs("the channel", 40, watched.seen)
	p.wantIDs("the stream", 40, from("XRANGE", "log:alert", "-", "+"))
	if text := p.stop(); !strings.Contains(text, "xadd: read 10 = delivered 10") || s.cli("XLEN", "suricata-stream") != "0" {
		t.Errorf("got %s", text)
	}
}

func TestExampleNATS(t *testing.T) {
	t.Setenv("NATS_TOKEN", "tok")
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), Authorization: "tok"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server does not start")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.Token("tok"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for stream, subjects := range map[string]string{"EVE": "eve.>", "ALERTS": "alerts.*"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{subjects}}); err != nil {
			t.Fatal(err)
		}
	}
	var stored, seen tally
	for subject, to := range map[string]*tally{"alerts.1": &stored, "seen.alert": &seen} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { to.add(idsIn(string(m.Data))...) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil { // the server has the subscriptions
		t.Fatal(err)
	}
	r := exampleRoot(t, "nats", "nats://nats.example:4222", s.ClientURL())
	p := r.start()
	p.until("the subscription", func() bool {
		subs, err := s.Subsz(&server.SubszOptions{Subscriptions: true, Test: "live.x"})
		return err == nil && len(subs.Subs) > 0
	})
	for i := 0; i < 40; i += 2 {
		if _, err := js.Publish(t.Context(), "eve.a.b", []byte(alert(i))); err != nil {
			t.Fatal(err)
		}
		if err := nc.Publish("live.x", []byte(alert(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	p.wantIDs("the stream", 40, stored.seen)
	p.wantIDs("the subject", 40, seen.seen)
	p.stop()
}

func TestExampleSyslog(t *testing.T) {
	dir := socketDir(t)
	keys := &root{t, t.TempDir()}
	keys.selfSigned()
	pair, err := tls.LoadX509KeyPair(keys.path("cert.pem"), keys.path("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	siem := newStreamSink(t, "tcp", "127.0.0.1:0", func(r *bufio.Reader) (string, error) { // CEF has no id: the signature's number stands for it
		text, err := octets(r)
		if m := regexp.MustCompile(`CEF:0\|OISF\|Suricata\|.*\|s(\d+)\|10\|`).FindStringSubmatch(text); m != nil {
			return "id=" + m[1] + ";", err
		}
		return text, err
	})
	safe := &streamSink{t: t, network: "tcp", address: "127.0.0.1:0", next: octets, wrap: func(l net.Listener) net.Listener {
		return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert})
	}}
	safe.start()
	t.Cleanup(func() { safe.l.Close() })
	var old, here tally
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.ListenPacket("unixgram", dir+"/log")
	if err != nil {
		t.Fatal(err)
	}
	for conn, to := range map[net.PacketConn]*tally{packets: &old, local: &here} {
		t.Cleanup(func() { conn.Close() })
		go func() {
			for b := make([]byte, 1<<16); ; {
				n, _, err := conn.ReadFrom(b)
				if err != nil {
					return
				}
				to.add(idsIn(string(b[:n]))...)
			}
		}()
	}
	udp, tcp, secure := freePort(t), freePort(t), freePort(t)
	r := exampleRoot(t, "syslog", "syslog+udp://0.0.0.0:514", "syslog+udp://127.0.0.1:"+udp, "syslog+tcp://0.0.0.0:514", "syslog+tcp://127.0.0.1:"+tcp,
		"0.0.0.0:6514", "127.0.0.1:"+secure, "/run/dragonfly", dir, "siem.example:514", siem.address, "collector.example:6514", safe.address,
		"collector.example:514", packets.LocalAddr().String(), "/dev/log", dir+"/log")
	r.write("cert.pem", keys.read("cert.pem"))
	r.write("key.pem", keys.read("key.pem"))
	r.write("ca.pem", keys.read("cert.pem"))
	p := r.start()
	for i, to := range [][2]string{{"udp", "127.0.0.1:" + udp}, {"tcp", "127.0.0.1:" + tcp}, {"tls", "127.0.0.1:" + secure}, {"unix", dir + "/syslog.stream"}, {"unixgram", dir + "/syslog.dgram"}} {
		var conn net.Conn
		var err error
		if to[0] == "tls" {
			conn, err = tls.Dial("tcp", to[1], &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}})
		} else {
			conn, err = net.Dial(to[0], to[1])
		}
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		end := "\n"
		if strings.HasPrefix(to[0], "u") && to[0] != "unix" {
			end = ""
		}
		for n := range 4 {
			fmt.Fprintf(conn, "<134>Nov 21 10:00:00 ids suricata[77]: %s%s", alert(4*i+n), end)
		}
	}
	p.wantIDs("siem", 20, siem.seen)
	p.wantIDs("safe", 20, safe.seen)
	p.wantIDs("old", 20, old.seen)
	p.wantIDs("here", 20, here.seen)
	p.stop()
}

func TestExampleWebhooks(t *testing.T) {
	t.Setenv("SENSOR_KEY", "key")
	t.Setenv("HOOK_TOKEN", "tok")
	keys := &root{t, t.TempDir()}
	keys.selfSigned()
	got := map[string]*tally{"/each": {}, "/bulk": {}, "/calm": {}, "/services/T/B/X": {}, "/_bulk": {}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var src io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Errorf("%s: %v", r.URL, err)
				return
			}
			src = z
		}
		body, err := io.ReadAll(src)
		to, ok := got[r.URL.Path]
		auth := map[string]string{"/each": "Bearer tok", "/_bulk": "Basic ZHJhZ29uZmx5OnRvaw=="}[r.URL.Path]
		if err != nil || !ok || r.Header.Get("Authorization") != auth {
			t.Errorf("%s: %v, %v", r.URL, err, r.Header)
			w.WriteHeader(401)
			return
		}
		ids := idsIn(string(body))
		slices.Sort(ids)
		to.add(slices.Compact(ids)...) // Slack has a text beside the blocks
		if r.URL.Path == "/_bulk" {
			n := bytes.Count(body, []byte("\n")) / 2
			fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n), ","))
		}
	})
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: handler}
	t.Cleanup(func() { web.Close() })
	go web.Serve(plain)
	go web.ServeTLS(secure, keys.path("cert.pem"), keys.path("key.pem"))
	post, also := freePort(t), freePort(t)
	r := exampleRoot(t, "webhooks", "127.0.0.1:8080", "127.0.0.1:"+post, "0.0.0.0:8443", "127.0.0.1:"+also, "https://hooks.example", "https://"+secure.Addr().String(),
		"http://hooks.example", "http://"+plain.Addr().String(), "search.example:9200", plain.Addr().String())
	r.write("cert.pem", keys.read("cert.pem"))
	r.write("key.pem", keys.read("key.pem"))
	r.write("ca.pem", keys.read("cert.pem"))
	r.write("secrets/slack", "/services/T/B/X\n")
	p := r.start()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for i, url := range []string{"http://127.0.0.1:" + post + "/events", "http://127.0.0.1:" + post + "/also", "https://127.0.0.1:" + also + "/events"} {
		var body strings.Builder
		for n := range 10 {
			body.WriteString(alert(10*i+n) + "\n")
		}
		req, err := http.NewRequest("POST", url, strings.NewReader(body.String()))
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			req.Header.Set("X-Sensor-Key", "key")
		} else {
			req.SetBasicAuth("sensor", "key")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != 200 {
			t.Fatalf("%s: %s\n%s", url, resp.Status, p.text())
		}
	}
	for path, to := range got {
		p.wantIDs(path, 30, to.seen)
	}
	p.stop()
}

func TestExampleSQLite(t *testing.T) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		skip(t, "sqlite3 is not installed")
	}
	data := t.TempDir()
	sql := func(db, query string) string {
		t.Helper()
		text, err := exec.Command("sqlite3", "-batch", "-init", "/dev/null", "-cmd", ".timeout 20000", filepath.Join(data, db), query).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", query, err, text)
		}
		return strings.TrimSpace(string(text))
	}
	const insert = `INSERT INTO findings (event_type, src_ip, severity) SELECT 'alert', '10.0.0.1', value % 4 FROM generate_series(1, 40)`
	sql("findings.db", `CREATE TABLE findings (id INTEGER PRIMARY KEY, event_type TEXT, src_ip TEXT, severity INTEGER); `+insert)
	r := exampleRoot(t, "sqlite", "sqlite:///data/", "sqlite://"+data+"/")
	p := r.start()
	p.until("the first rows", func() bool {
		return sql("eve.db", "SELECT count(*) FROM sqlite_master WHERE name LIKE 'alert\\_%' ESCAPE '\\' AND type = 'table'") == "1"
	})
	table := sql("eve.db", "SELECT name FROM sqlite_master WHERE name LIKE 'alert\\_%' ESCAPE '\\' AND type = 'table'")
	sql("findings.db", insert)
	p.until("all rows", func() bool {
		return sql("eve.db", "SELECT count(*), count(DISTINCT id), max(src_ip) FROM "+table) == "60|60|10.0.0.1"
	})
	p.stop()
}

func TestExampleDropIn(t *testing.T) {
	data := t.TempDir()
	text, err := os.ReadFile("../examples/drop-in.lua")
	if err != nil {
		t.Fatal(err)
	}
	r := passThrough(t, "tail://$ROOT/in.json<")
	r.write("config/config.lua", r.read("config/config.lua")+example(t, "Rows that are dropped in")+"landlock = \"off\"\n") // what is allowed is what was there at the start
	r.write("analyzer/pass.lua", `function loop(e) dragonfly.output_event("out", e) dragonfly.output_event("archive", e) end`)
	r.write("in.json", "")
	if err := os.Mkdir(r.path("conf.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.drop("archive.lua", `outputs = { {tag = "archive", uri = "null://"} }`)
	p := r.start()
	r.drop("archive.lua", strings.ReplaceAll(string(text), "/data/", data+"/"))
	p.until("the new output", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
	for i := range 10 {
		r.append("in.json", alert(i)+"\n")
	}
	p.wantIDs("the archive", 10, func() map[int]int {
		seen := map[int]int{}
		b, err := os.ReadFile(filepath.Join(data, "2026", "alert.json"))
		if err == nil && ids(json.NewDecoder(bytes.NewReader(b)), seen) != nil {
			return nil // a line is being written
		}
		return seen
	})
	p.stop()
}

// TestEveryWireHasAnExample: each scheme that talks to others is in an example that a test above or beside runs.
func TestEveryWireHasAnExample(t *testing.T) {
	all := ""
	for _, heading := range []string{"HTTP", "Redis", "Syslog and Fluent forward", "Kafka"} { // run by tests of their own
		all += example(t, heading)
	}
	files, err := filepath.Glob("../examples/*.lua")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
		if !strings.Contains(string(readme), "test/examples/"+filepath.Base(name)) && !strings.Contains(string(readme), string(text)) {
			t.Errorf("README.md neither has nor names %s", name)
		}
	}
	same := map[string]string{"rediss": "redis", "https": "http", "opensearch": "elasticsearch"}
	local := []string{"dummy", "file", "zfile", "flow", "pcap", "stdin", "stdout", "null", "tail", "unix", "unixgram", "ipc"} // no wires
	reference, err := exec.Command(binary, "reference").Output()
	if err != nil {
		t.Fatal(err)
	}
	inputs, outputs, ok := strings.Cut(string(reference), "### Outputs: ")
	if !ok {
		t.Fatal("no outputs in the reference")
	}
	for side, text := range map[string]string{"inputs": inputs, "outputs": outputs} {
		rows := ""
		for part := range strings.SplitSeq(all, side+" ") {
			rest, _, _ := strings.Cut(part, "\n}")
			rows += rest
		}
		for _, m := range regexp.MustCompile(`(?m)^\*\*([a-z+]+)\*\* — `).FindAllStringSubmatch(text, -1) {
			if scheme := m[1]; !slices.Contains(local, scheme) && !strings.Contains(rows, scheme+"://") && !strings.Contains(rows, same[scheme]+"://") {
				t.Errorf("no example of %s has %s://", side, scheme)
			}
		}
	}
}
