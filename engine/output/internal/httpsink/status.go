package httpsink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dragonfly/engine"
)

// OK reports a status of 2xx.
func (a *Answer) OK() bool { return a.Status/100 == 2 }

// Verdict says what the status means: nil for 2xx, a *engine.RejectError for what the server will never take, another error for
// what may be tried again. A pause that the server wants is kept before the next request.
func (c *Client) Verdict(a *Answer) error {
	if a.OK() {
		return nil
	}
	if d, ok := retryAfter(a.Header.Get("Retry-After"), time.Now()); ok {
		c.Pause(d)
	}
	said := c.said(a)
	switch a.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s: it does not let us in: correct the password, token or certificate of this row, or what it permits; events wait", said)
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone:
		return fmt.Errorf("%s: nothing takes events there: correct the path in the uri; events wait", said)
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("%s: the proxy does not let us in: give it user and password in the key proxy", said)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: it takes no more at the moment", said)
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return errors.New(said)
	}
	switch {
	case a.Status/100 == 3:
		to := ""
		if u, err := url.Parse(a.Header.Get("Location")); err == nil && u.Host != "" {
			to = " to " + u.Scheme + "://" + u.Host
		}
		return fmt.Errorf("%s: it sends us elsewhere%s, which is not followed: correct the uri", said, to)
	case a.Status == http.StatusBadRequest && c.base.Scheme == "http" && wantsTLS(a.Body):
		return fmt.Errorf("%s: it talks TLS: write https://, or set tls = true; events wait", said)
	case a.Status/100 == 4:
		return &engine.RejectError{Err: errors.New(said)}
	}
	return errors.New(said)
}

// wantsTLS knows what web servers (Go, nginx, Apache) answer on a TLS port to what is none.
func wantsTLS(body []byte) bool {
	text := strings.ToLower(string(body[:min(len(body), 2000)]))
	return strings.Contains(text, "http request to an https server") || strings.Contains(text, "plain http request was sent") || strings.Contains(text, "speaking plain http")
}

// said is the status with the beginning of the body, on one line.
func (c *Client) said(a *Answer) string {
	text := c.secrets.Replace(string(a.Body[:min(len(a.Body), 64<<10)])) // many servers repeat what they were asked
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), 1200)], "?")), " ")
	if text = Cut(text, 300); text != "" {
		text = ": " + text
	}
	return fmt.Sprintf("%s answers %d %s%s", c.Server(), a.Status, http.StatusText(a.Status), text)
}

// Cut shortens s to n characters, the last of which then is "…". A character counts as in UTF-16.
func Cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	size, end := 0, 0 // end: where n-1 characters end
	for i, r := range s {
		if size <= n-1 {
			end = i
		}
		if size++; r > 0xffff {
			size++
		}
	}
	if size <= n {
		return s
	}
	return strings.ToValidUTF8(s[:end], string(utf8.RuneError)) + "…"
}

// Len is the length of s as Cut counts.
func Len(s string) int {
	n := 0
	for _, r := range s {
		if n++; r > 0xffff {
			n++
		}
	}
	return n
}

// retryAfter reads the header: seconds, also with a fraction, or a date (RFC 9110, section 10.2.3).
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, false
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return Seconds(n), n > 0
	}
	at, err := http.ParseTime(text)
	return at.Sub(now), err == nil && at.After(now)
}

// Seconds converts n, which a server may have sent: what is no time of use is 0, or a day.
func Seconds(n float64) time.Duration {
	const most = 86400
	if !(n > 0) {
		return 0
	}
	return time.Duration(min(n, most) * float64(time.Second))
}

// explain words an error of the transport: without the URL, whose path may be a secret, and with a remedy.
func (c *Client) explain(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var ne net.Error
	remedy := ""
	switch {
	case errors.As(err, &unknown):
		remedy = "name the authority that signed it in tls_ca"
	case errors.As(err, &name):
		remedy = "name the server as its certificate does, in the uri or in tls_server_name"
	case errors.As(err, &invalid):
		remedy = "the server needs another certificate"
	case errors.As(err, &alert):
		remedy = "the server does not take our TLS: see tls_cert and tls_key"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		remedy = "it does not talk TLS there: see the scheme and port of the uri"
	case strings.Contains(err.Error(), "malformed HTTP"):
		remedy = "it does not talk HTTP there, or it wants TLS: see the scheme and port of the uri"
	case strings.Contains(err.Error(), "Proxy Authentication Required"):
		remedy = "give the proxy its user and password in the key proxy"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return fmt.Errorf("%s: no answer within %v (timeout): %w", c.Server(), c.timeout, err)
	}
	if remedy != "" {
		return fmt.Errorf("%s: %w: %s", c.Server(), err, remedy)
	}
	return fmt.Errorf("%s: %w", c.Server(), err)
}
