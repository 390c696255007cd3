package e2e

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sinkRoot tails in.json into an output row.
func sinkRoot(t *testing.T, row, more string) *root {
	r := passThrough(t, "tail://IN<")
	r.write("config/config.lua", strings.NewReplacer("tail://IN", "tail://"+r.path("in.json"), `{tag = "out", uri = "file://out.json"}`, row,
		`listen = ""`, `listen = "127.0.0.1:0"`+"\n"+more).Replace(r.read("config/config.lua")))
	r.write("in.json", "")
	return r
}

// smallDisk mounts a file system of some bytes on name, for root.
func (r *root) smallDisk(name, options string) (again func(options string)) {
	r.t.Helper()
	needRoot(r.t)
	dir := r.path(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		skip(r.t, "cannot mount: %v", err)
	}
	r.t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return func(options string) {
		r.t.Helper()
		flags := uintptr(syscall.MS_REMOUNT)
		if options == "ro" {
			flags, options = flags|syscall.MS_RDONLY, ""
		}
		if err := syscall.Mount("none", dir, "tmpfs", flags, options); err != nil {
			r.t.Fatal(err)
		}
	}
}

var listenerLine = regexp.MustCompile(`HTTP listener address=(\S+)`)

// get asks the process's HTTP listener.
func (p *process) get(path string) (code int, text string) {
	p.t.Helper()
	m := listenerLine.FindStringSubmatch(p.text())
	if m == nil {
		p.t.Fatalf("no HTTP listener: %s", p.text())
	}
	resp, err := http.Get("http://" + m[1] + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// outage waits until an output is down, in the log, in /healthz and in /metrics.
func (p *process) outage(tag, message string) {
	p.t.Helper()
	p.until("an outage in the log", func() bool { return strings.Contains(p.text(), message) })
	p.until("an outage in /healthz", func() bool {
		code, text := p.get("/healthz")
		return code == 503 && strings.Contains(text, `"output":"`+tag+`"`)
	})
	if _, text := p.get("/metrics"); !strings.Contains(text, `dragonfly_output_up{output="`+tag+`"} 0`) {
		p.t.Errorf("not in /metrics: %s", text)
	}
}

// recovered wants a good end: n records delivered, and one line for the end of the outage.
func (p *process) recovered(n int) {
	p.t.Helper()
	p.until("the end of the outage", func() bool { return strings.Contains(p.text(), "output works again") })
	p.until("health", func() bool { code, _ := p.get("/healthz"); return code == 200 })
	text := p.stop()
	if want := fmt.Sprintf("read %d = delivered %d + dropped 0 + dead-lettered 0 + in flight 0", n, n); !strings.Contains(text, want) {
		p.t.Errorf("no %q in %s", want, text)
	}
	if got := strings.Count(text, "output does not work"); got != 1 {
		p.t.Errorf("the outage was told %d times: %s", got, text)
	}
}

// reader listens on a unix stream socket and keeps the whole lines that it gets.
type reader struct {
	t     *testing.T
	l     net.Listener
	mu    sync.Mutex
	lines []string
	conns []net.Conn
}

func listen(t *testing.T, path string) *reader {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &reader{t: t, l: l}
	t.Cleanup(s.close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.read(c)
		}
	}()
	return s
}

func (s *reader) read(c net.Conn) {
	for b := bufio.NewReader(c); ; {
		line, err := b.ReadString('\n')
		if err != nil { // what is behind the last line end comes again
			return
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
	}
}

func (s *reader) close() {
	s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *reader) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "")
}

func (s *reader) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lines)
}

// socketDir is a directory with a short path.
func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "es")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestFileSinkWithoutDirectory(t *testing.T) {
	r := sinkRoot(t, `{tag = "out", uri = "file://$ROOT/gone/out.json"}`, `landlock = "off"`) // it allows what is there at the start
	r.write("config/config.lua", r.read("config/config.lua"))
	r.write("gone", "a file where a directory should be")
	p := r.start()
	p.outage("out", "output does not work, its events wait")
	r.append("in.json", events(5000))
	os.Remove(r.path("gone"))
	p.until("all events", func() bool { return r.lines("gone/out.json") >= 5000 })
	p.recovered(5000)
	if r.read("gone/out.json") != events(5000) {
		t.Error("the events are not as they were")
	}
}

// TestFileSinksOnAFullDisk fills the disk in the middle of a line: in the end no line is torn or there twice.
func TestFileSinksOnAFullDisk(t *testing.T) {
	for _, scheme := range []string{"file", "zfile"} {
		t.Run(scheme, func(t *testing.T) {
			r := sinkRoot(t, `{tag = "out", uri = "`+scheme+`://$ROOT/disk/out.json"}`, "")
			r.write("config/config.lua", r.read("config/config.lua"))
			again := r.smallDisk("disk", "size=64k")
			p := r.start()
			const n = 50_000
			r.append("in.json", events(n))
			p.outage("out", "no space left on device")
			p.signal(syscall.SIGUSR1)
			if !strings.Contains(p.text(), `remedy="free space there"`) {
				t.Errorf("no remedy: %s", p.text())
			}
			again("size=32m")
			content := func() string {
				all := ""
				names, _ := filepath.Glob(r.path("disk/out.json*"))
				slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) }) // the rotated one first
				for _, name := range names {
					f, err := os.Open(name)
					if err != nil {
						t.Fatal(err)
					}
					defer f.Close()
					var src io.Reader = f
					if scheme == "zfile" {
						if src, err = gzip.NewReader(f); err != nil {
							continue
						}
					}
					b, _ := io.ReadAll(src)
					all += string(b)
				}
				return all
			}
			p.until("all events", func() bool { return strings.Count(content(), "\n") >= n })
			p.recovered(n)
			if content() != events(n) {
				t.Error("the events are not as they were")
			}
		})
	}
}

func TestFileSinkThatIsReadOnly(t *testing.T) {
	r := sinkRoot(t, `{tag = "out", uri = "file://$ROOT/disk/out.json"}`, "")
	r.write("config/config.lua", r.read("config/config.lua"))
	again := r.smallDisk("disk", "size=4m")
	again("ro")
	p := r.start()
	r.append("in.json", events(3000))
	p.outage("out", "read-only file system")
	again("size=4m")
	p.until("all events", func() bool { return r.lines("disk/out.json") >= 3000 })
	p.recovered(3000)
	if r.read("disk/out.json") != events(3000) {
		t.Error("the events are not as they were")
	}
}

func TestStreamSinkThatComesAndGoes(t *testing.T) {
	for _, spool := range []string{"", `, spool = "16MiB"`} {
		t.Run("spool"+spool, func(t *testing.T) {
			path := filepath.Join(socketDir(t), "s")
			r := sinkRoot(t, `{tag = "out", uri = "unix://`+path+`"`+spool+`}`, "")
			p := r.start()
			p.outage("out", "output does not work")
			const n = 30_000
			r.append("in.json", events(n/3))
			first := listen(t, path)
			p.until("events", func() bool { return first.len() >= n/3 })
			first.close() // everything sent was read
			os.Remove(path)
			r.append("in.json", events(n)[len(events(n/3)):])
			p.until("another outage", func() bool { return strings.Count(p.text(), "output does not work") == 2 })
			if spool != "" {
				p.until("all is read", func() bool {
					_, text := p.get("/ledger")
					return strings.Contains(text, fmt.Sprintf(`"delivered":%d`, n))
				})
			}
			second := listen(t, path)
			p.until("all events", func() bool { return second.len() >= n-n/3 })
			p.until("the end", func() bool { return strings.Count(p.text(), "output works again") == 2 })
			if text := p.stop(); !strings.Contains(text, fmt.Sprintf("read %d = delivered %d", n, n)) {
				t.Errorf("got %s", text)
			}
			if first.text()+second.text() != events(n) {
				t.Errorf("got %d and %d events", first.len(), second.len())
			}
		})
	}
}

// TestDatagramSinksThatRefuse send to a socket that is not there, then does not read; syslog never takes a megabyte.
func TestDatagramSinksThatRefuse(t *testing.T) {
	for _, c := range []struct{ name, uri, spool, large string }{
		{"unixgram", "unixgram://PATH", "", ""},
		{"unixgram, spooled", "unixgram://PATH", `, spool = "16MiB"`, ""},
		{"syslog", `syslog://LOG_LOCAL0", socket = "PATH`, "", `{"large":"` + strings.Repeat("x", 1<<20) + "\"}\n"},
		{"syslog, spooled", `syslog://LOG_LOCAL0", socket = "PATH`, `, spool = "16MiB"`, `{"large":"` + strings.Repeat("x", 1<<20) + "\"}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(socketDir(t), "s")
			r := sinkRoot(t, `{tag = "out", uri = "`+strings.Replace(c.uri, "PATH", path, 1)+`"`+c.spool+`}`, "")
			p := r.start()
			p.outage("out", "output does not work")
			r.append("in.json", events(500)+c.large+events(500))
			conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			var got strings.Builder
			b := make([]byte, 1<<20)
			for range 1000 {
				n, err := conn.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				text := string(b[:n])
				if _, rest, ok := strings.Cut(text, "]: "); ok {
					text = rest
				}
				got.WriteString(text + "\n")
			}
			if c.large != "" {
				p.until("a dead letter", func() bool { return r.lines("log/dead-letter.json") == 1 })
				if dead := r.read("log/dead-letter.json"); !strings.Contains(dead, `"reason":"rejected"`) || !strings.Contains(dead, "in.json offset ") {
					t.Errorf("got %.300s", dead)
				}
			}
			p.stop()
			if got.String() != events(500)+events(500) {
				t.Error("the events are not as they were")
			}
		})
	}
}

// TestStreamSinkThatDoesNotRead holds up one output for as long as the other one needs for everything.
func TestStreamSinkThatDoesNotRead(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	r := sinkRoot(t, `{tag = "out", uri = "unix://`+path+`", spool = "64MiB"}, {tag = "other", uri = "file://other.json"}`, "")
	r.write("analyzer/pass.lua", `function setup() end function loop(e) dragonfly.output_event("out", e) dragonfly.output_event("other", e) end`)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 50_000
	p := r.start()
	r.append("in.json", events(n))
	p.until("the other output's events", func() bool { return r.lines("log/other.json") == n })
	p.until("word of it", func() bool { return strings.Contains(p.text(), "output is slow, its events go to the spool") })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &reader{t: t}
	go s.read(conn)
	p.until("all events", func() bool { return s.len() >= n })
	p.until("the end of the spool", func() bool { return strings.Contains(p.text(), "the spool is delivered") })
	if text := p.stop(); !strings.Contains(text, fmt.Sprintf("read %d = delivered %d", n, n)) || s.text() != events(n) {
		t.Errorf("%d events: %s", s.len(), text)
	}
}

// TestFileSinkThatIsRemoved goes on in a new file; what was in the old one is the remover's.
func TestFileSinkThatIsRemoved(t *testing.T) {
	r := sinkRoot(t, `{tag = "out", uri = "file://out.json"}`, "")
	p := r.start()
	r.append("in.json", events(1000))
	p.until("the first events", func() bool { return r.lines("log/out.json") == 1000 })
	os.Remove(r.path("log/out.json"))
	p.until("a new file", func() bool { // the path is looked at once a second
		r.append("in.json", "{\"more\":1}\n")
		return r.lines("log/out.json") > 0
	})
	p.stop()
	for line := range strings.Lines(r.read("log/out.json")) {
		if line != "{\"more\":1}\n" {
			t.Fatalf("got %q", line)
		}
	}
}

var fullLine = regexp.MustCompile(`dragonfly_records_in_flight\{input="eve"\} [1-9]`)

func TestDeadLetterThatCannotBeWritten(t *testing.T) {
	r := sinkRoot(t, `{tag = "out", uri = "file://out.json"}`, `landlock = "off" dead_letter = "file://$ROOT/gone/dead.json"`)
	r.write("config/config.lua", r.read("config/config.lua"))
	r.write("gone", "a file where a directory should be")
	p := r.start()
	const n = 20_000
	r.append("in.json", strings.Repeat("[1]\n", n))
	p.outage("dead-letter", "output does not work, what failed waits, and soon the inputs stop reading")
	p.until("a full pipeline", func() bool {
		_, text := p.get("/metrics")
		return fullLine.MatchString(text)
	})
	os.Remove(r.path("gone"))
	p.until("all dead letters", func() bool { return r.lines("gone/dead.json") >= n })
	if text := p.stop(); !strings.Contains(text, fmt.Sprintf("dead-lettered %d (not_object %d) + in flight 0", n, n)) || r.lines("gone/dead.json") != n {
		t.Errorf("%d dead letters: %s", r.lines("gone/dead.json"), text)
	}
}
