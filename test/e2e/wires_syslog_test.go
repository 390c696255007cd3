package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dragonfly/test/parts"
)

// selfSigned writes a certificate for 127.0.0.1 and its key to the root's files cert.pem and key.pem.
func (r *root) selfSigned() {
	r.t.Helper()
	c := parts.Certify(r.t, nil, "127.0.0.1")
	r.write("cert.pem", string(c.Cert))
	r.write("key.pem", string(c.Key))
}

// rsyslogd starts rsyslogd with a configuration; end stops it as an administrator would.
func rsyslogd(t *testing.T, program, config string) (end func()) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
			if text, _ := os.ReadFile(log.Name()); t.Failed() {
				t.Logf("rsyslogd: %s", text)
			}
		}
	}
	t.Cleanup(end)
	return end
}

// TestRsyslogBetween sends events through a real rsyslogd, that is away for a while, and back: they come out byte for byte.
func TestRsyslogBetween(t *testing.T) {
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		if program = "/usr/sbin/rsyslogd"; !exists(program) {
			skip(t, "rsyslogd is not installed (test/setup.sh)")
		}
	}
	for _, how := range []string{"tcp", "tls"} {
		t.Run(how, func(t *testing.T) {
			if drivers, _ := filepath.Glob("/usr/lib/*/rsyslog/lmnsd_gtls.so"); how == "tls" && len(drivers) == 0 {
				skip(t, "rsyslog-gnutls is not installed (test/setup.sh)")
			}
			out, in := freePort(t), freePort(t)
			end := passThrough(t, "syslog+tcp://127.0.0.1:"+in)
			row := `{tag = "out", uri = "syslog+tcp://127.0.0.1:` + out + `"}`
			config := `global(workDirectory="$ROOT" maxMessageSize="64k" $TLS)
module(load="imtcp" $IN)
input(type="imtcp" address="127.0.0.1" port="` + out + `")
action(type="omfwd" target="127.0.0.1" port="` + in + `" protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format"
  action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="linkedList" queue.size="100000" $OUT)
`
			with := strings.NewReplacer("$ROOT", t.TempDir(), " $TLS", "", " $IN", "", " $OUT", "")
			if how == "tls" {
				end = passThrough(t, "syslog+tls://127.0.0.1:"+in+`", tls_cert = "cert.pem", tls_key = "key.pem`)
				end.selfSigned()
				cert, key := end.path("cert.pem"), end.path("key.pem")
				with = strings.NewReplacer("$ROOT", t.TempDir(), "$TLS", `defaultNetstreamDriver="gtls" defaultNetstreamDriverCAFile="`+cert+`" defaultNetstreamDriverCertFile="`+cert+`" defaultNetstreamDriverKeyFile="`+key+`"`,
					"$IN", `streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon"`, "$OUT", `streamDriver="gtls" streamDriverMode="1" streamDriverAuthMode="anon"`)
			}
			agent := sinkRoot(t, row, "")
			if how == "tls" {
				agent = sinkRoot(t, `{tag = "out", uri = "syslog+tls://127.0.0.1:`+out+`", tls_ca = "ca.pem"}`, "")
				agent.write("ca.pem", end.read("cert.pem"))
			}
			config = with.Replace(config)
			away := rsyslogd(t, program, config)
			e, a := end.start(), agent.start()
			const n = 4000
			text := events(n)
			half := strings.LastIndexByte(text[:len(text)/2], '\n') + 1
			agent.append("in.json", text[:half])
			e.until("half of the events", func() bool { return end.read("log/out.json") == text[:half] })
			outages := strings.Count(a.text(), "output does not work")
			away()
			agent.append("in.json", text[half:])
			a.until("the outage is told", func() bool { return strings.Count(a.text(), "output does not work") > outages })
			rsyslogd(t, program, config)
			e.until("all events", func() bool { return end.read("log/out.json") == text })
			a.stop()
			e.stop()
		})
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
