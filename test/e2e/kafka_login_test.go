package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/test/parts"
)

// guarded is a Kafka with two ports more: one wants a login over TLS, the other a certificate.
type guarded struct {
	*broker
	sasl, mutual string
	cert, key    string // of a client, and who has signed both sides
	ca           string
}

// guardedKafka has the users plain (PLAIN), s256 (SCRAM-SHA-256) and s512 (SCRAM-SHA-512) with the password "a,=b", and takes the
// tokens of token.
func guardedKafka(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{sasl: freeAddress(t), mutual: freeAddress(t)}
	dir := t.TempDir()
	authority := parts.Certify(t, nil, "authority.test")
	g.ca, _ = authority.Write(t, dir, "ca")
	g.cert, g.key = parts.Certify(t, authority, "client.test").Write(t, dir, "client")
	own := parts.Certify(t, authority, "127.0.0.1")
	pem := filepath.Join(dir, "broker.pem") // Kafka wants both in one file
	if err := os.WriteFile(pem, append(append([]byte{}, own.Key...), own.Cert...), 0o600); err != nil {
		t.Fatal(err)
	}
	const login = "org.apache.kafka.common.security."
	g.broker = startKafka(t, func(address, controller string) string {
		return strings.Join([]string{
			"listeners=PLAINTEXT://" + address + ",CONTROLLER://" + controller + ",SASL_SSL://" + g.sasl + ",SSL://" + g.mutual,
			"advertised.listeners=PLAINTEXT://" + address + ",SASL_SSL://" + g.sasl + ",SSL://" + g.mutual,
			"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL",
			"ssl.keystore.type=PEM", "ssl.keystore.location=" + pem, "ssl.truststore.type=PEM", "ssl.truststore.location=" + g.ca,
			"listener.name.ssl.ssl.client.auth=required",
			"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
			"listener.name.sasl_ssl.plain.sasl.jaas.config=" + login + `plain.PlainLoginModule required user_plain="a,=b";`,
			"listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
			"listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=" + login + "scram.ScramLoginModule required;",
			"listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=" + login + `oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
			"",
		}, "\n")
	})
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	admin, err := sarama.NewClusterAdmin([]string{g.address}, conf)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	results, err := admin.UpsertUserScramCredentials([]sarama.AlterUserScramCredentialsUpsert{
		{Name: "s256", Mechanism: sarama.SCRAM_MECHANISM_SHA_256, Iterations: 4096, Salt: []byte("salt of s256"), Password: []byte("a,=b")},
		{Name: "s512", Mechanism: sarama.SCRAM_MECHANISM_SHA_512, Iterations: 8192, Salt: []byte("salt of s512"), Password: []byte("a,=b")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.ErrorCode != sarama.ErrNoError {
			t.Fatal(r.User, r.ErrorCode)
		}
	}
	return g
}

// token is an unsigned one, as Kafka takes them by default.
func token() string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	now := time.Now()
	return part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"sub":"dragonfly","iat":%d,"exp":%d}`, now.Unix()-60, now.Unix()+3600)) + "."
}

// way is one of logging in.
type way struct {
	name, address, options string
	codec                  string
}

func (g *guarded) ways() []way {
	sasl := `tls_ca = "ca.pem", sasl_mechanism = "%s", sasl_user = "%s", sasl_password = "a,=b"`
	return []way{
		{"open", g.address, "client_id = 'x'", "none"},
		{"plain", g.sasl, fmt.Sprintf(sasl, "PLAIN", "plain"), "gzip"},
		{"s256", g.sasl, fmt.Sprintf(sasl, "SCRAM-SHA-256", "s256"), "snappy"},
		{"s512", g.sasl, fmt.Sprintf(sasl, "SCRAM-SHA-512", "s512"), "lz4"},
		{"oauth", g.sasl, `tls_ca = "ca.pem", sasl_mechanism = "OAUTHBEARER", sasl_token = "` + token() + `"`, "zstd"},
		{"mutual", g.mutual, `tls_ca = "ca.pem", tls_cert = "client.pem", tls_key = "client.key"`, "zstd"},
	}
}

// secure writes the certificates where config.lua names them.
func (g *guarded) secure(r *root) *root {
	g.t.Helper()
	for name, from := range map[string]string{"ca.pem": g.ca, "client.pem": g.cert, "client.key": g.key} {
		text, err := os.ReadFile(from)
		if err != nil {
			g.t.Fatal(err)
		}
		r.write(name, string(text))
	}
	return r
}

// TestKafkaLogins: a real broker, every way to log in.
func TestKafkaLogins(t *testing.T) {
	g := guardedKafka(t)
	t.Run("accepted", func(t *testing.T) { testAcceptedLogins(t, g) })
	t.Run("refused", func(t *testing.T) { testRefusedLogins(t, g) })
}

// testAcceptedLogins: events go in and out by every way, each with another compression.
func testAcceptedLogins(t *testing.T, g *guarded) {
	var inputs, outputs, files, send strings.Builder
	for _, w := range g.ways() {
		g.topic("t-"+w.name, 2)
		fmt.Fprintf(&outputs, `{tag = "%[1]s", uri = "kafka://%[2]s/t-%[1]s", compression = "%[3]s", %[4]s},`+"\n", w.name, w.address, w.codec, w.options)
		fmt.Fprintf(&outputs, `{tag = "got-%[1]s", uri = "file://got-%[1]s.json"},`+"\n", w.name)
		fmt.Fprintf(&inputs, `{tag = "in-%[1]s", uri = "kafka://%[2]s/t-%[1]s?group=g-%[1]s", script = "%[1]s.lua", %[4]s},`+"\n", w.name, w.address, w.codec, w.options)
		fmt.Fprintf(&files, "-- scripts/%[1]s.lua --\nfunction loop(event) dragonfly.output_event(\"got-%[1]s\", event) end\n", w.name)
		fmt.Fprintf(&send, "dragonfly.output_event(\"%s\", event)\n", w.name)
	}
	const n = 2000
	var events strings.Builder
	for i := range n {
		fmt.Fprintf(&events, `{"id":%d,"text":"%s"}`+"\n", i, strings.Repeat("again ", i%40))
	}
	p := g.secure(newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "eve", uri = "tail://$ROOT/in.json", from = "start", script = "send.lua"},
`+inputs.String()+`}
outputs = {
`+outputs.String()+`}
listen = ""
-- scripts/send.lua --
function loop(event)
`+send.String()+`end
`+files.String()+`-- in.json --
`+events.String())).start()
	for _, w := range g.ways() {
		file := "log/got-" + w.name + ".json"
		g.wait("all that went by "+w.name+"\n"+p.text(), func() bool { return p.lines(file) >= n })
	}
	text := p.stop()
	for _, w := range g.ways() {
		var got tally
		got.add(idsIn(p.read("log/got-" + w.name + ".json"))...)
		if seen := got.seen(); len(seen) != n || p.lines("log/got-"+w.name+".json") != n {
			t.Errorf("%s: %d events of %d, want %d\n%s", w.name, p.lines("log/got-"+w.name+".json"), len(seen), n, text)
		}
	}
}

// testRefusedLogins: the broker says no; the process does not start, and says which keys to correct.
func testRefusedLogins(t *testing.T, g *guarded) {
	g.topic("t", 1)
	for _, c := range []struct{ name, address, options, want string }{
		{"PLAIN", g.sasl, `tls_ca = "ca.pem", sasl_mechanism = "PLAIN", sasl_user = "plain", sasl_password = "hush"`, `login of "plain": see sasl_user`},
		{"SCRAM", g.sasl, `tls_ca = "ca.pem", sasl_mechanism = "SCRAM-SHA-512", sasl_user = "s512", sasl_password = "hush"`, `login of "s512": see sasl_user`},
		{"no such user", g.sasl, `tls_ca = "ca.pem", sasl_mechanism = "SCRAM-SHA-256", sasl_user = "nobody", sasl_password = "hush"`, `login of "nobody": see sasl_user`},
		{"a token that ended", g.sasl, `tls_ca = "ca.pem", sasl_mechanism = "OAUTHBEARER", sasl_token = "hush"`, "refuses the token: see sasl_token"},
		{"no certificate", g.mutual, `tls_ca = "ca.pem"`, "see tls_cert and tls_key"},
		{"unknown authority", g.mutual, `tls = true`, "set tls_ca"},
	} {
		r := g.secure(newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "eve", uri = "tail://$ROOT/in.json", script = "send.lua"} }
outputs = { {tag = "out", uri = "kafka://`+c.address+`/t", `+c.options+`} }
listen = ""
-- scripts/send.lua --
function loop(event) dragonfly.output_event("out", event) end
-- in.json --
`))
		code, text := r.run()
		if code == 0 || !strings.Contains(text, c.want) || strings.Contains(text, "hush") {
			t.Errorf("%s: exit %d, want an error with %q:\n%s", c.name, code, c.want, text)
		}
	}
}
