package e2e

import (
	"crypto/tls"
	"encoding/pem"
	"strings"
	"syscall"
	"testing"
)

// TestRenewedCertificate: SIGHUP shows clients the certificate that was put under the same name, and a reload without a new one changes
// nothing.
func TestRenewedCertificate(t *testing.T) {
	address := "127.0.0.1:" + freePort(t)
	r := passThrough(t, "https://"+address+`/events", tls_cert = "cert.pem", tls_key = "key.pem`)
	r.selfSigned()
	shows := func() bool { // the certificate that is in the file now
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false
		}
		defer conn.Close()
		block, _ := pem.Decode([]byte(r.read("cert.pem")))
		return string(conn.ConnectionState().PeerCertificates[0].Raw) == string(block.Bytes)
	}
	p := r.start()
	p.until("the first certificate", shows)
	p.signal(syscall.SIGHUP)
	p.until("a reload that changes scripts only", func() bool { return strings.Contains(p.text(), "the new scripts run") })
	r.selfSigned()
	if shows() {
		t.Error("the file was read without a reload")
	}
	p.signal(syscall.SIGHUP)
	p.until("the second certificate", shows)
	r.write("key.pem", "half a key")
	p.signal(syscall.SIGHUP)
	p.until("a key that is wrong", func() bool { return strings.Contains(p.text(), "does not load: the old one goes on") })
	if !shows() {
		t.Error("the certificate is gone with a key that is wrong")
	}
	p.stop()
}
