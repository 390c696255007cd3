package syslog

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// cef makes lines of ArcSight's Common Event Format, version 0 (implementation standard, revision 25):
//
//	CEF:0|vendor|product|version|event class|name|severity 0 to 10|key=value key=value
type cef struct{ vendor, product, version string }

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r\n", " ", "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\r\n", `\n`, "\n", `\n`, "\r", `\r`)
)

// extension is the table of what stands where: the key of CEF, the path of EVE. The first path that is there counts.
var extension = []struct {
	key  string
	path []string
}{
	{"spt", []string{"src_port"}}, {"dpt", []string{"dest_port"}}, {"proto", []string{"proto"}}, {"app", []string{"app_proto"}},
	{"cat", []string{"alert", "category"}}, {"act", []string{"alert", "action"}}, {"externalId", []string{"flow_id"}},
	{"deviceInboundInterface", []string{"in_iface"}}, {"out", []string{"flow", "bytes_toserver"}}, {"in", []string{"flow", "bytes_toclient"}},
	{"dhost", []string{"http", "hostname"}}, {"dhost", []string{"tls", "sni"}}, {"request", []string{"http", "url"}},
	{"requestMethod", []string{"http", "http_method"}}, {"requestClientApplication", []string{"http", "http_user_agent"}},
	{"requestContext", []string{"http", "http_refer"}}, {"fname", []string{"fileinfo", "filename"}}, {"fsize", []string{"fileinfo", "size"}},
	{"fileHash", []string{"fileinfo", "sha256"}}, {"fileHash", []string{"fileinfo", "md5"}}, {"suser", []string{"smtp", "mail_from"}},
	{"destinationDnsDomain", []string{"dns", "rrname"}}, {"msg", []string{"syslog", "message"}},
}

// append appends the line of an event.
func (c *cef) append(b []byte, v *view, at time.Time, host string) []byte {
	class, name, severity := v.text("alert", "signature_id"), v.text("alert", "signature"), "1"
	switch v.text("alert", "severity") {
	case "1":
		severity = "10"
	case "2":
		severity = "7"
	case "3":
		severity = "4"
	case "4":
		severity = "2"
	}
	kind := v.text("event_type")
	if kind == "" {
		kind = "event"
	}
	if class == "" {
		class = kind
	}
	if name == "" {
		name = kind
	}
	b = append(b, "CEF:0"...)
	for _, field := range [...]string{c.vendor, c.product, c.version, class, name, severity} {
		b = append(b, '|')
		b = append(b, cefHeader.Replace(field)...)
	}
	b = append(b, "|rt="...)
	b = strconv.AppendInt(b, at.UnixMilli(), 10)
	put := func(key, value string) {
		if value != "" {
			b = append(b, ' ')
			b = append(b, key...)
			b = append(b, '=')
			b = append(b, cefValue.Replace(value)...)
		}
	}
	put("dvchost", host)
	put("deviceEventCategory", kind)
	address(put, v.text("src_ip"), "src", "c6a2", "Source IPv6 Address")
	address(put, v.text("dest_ip"), "dst", "c6a3", "Destination IPv6 Address")
	last := ""
	for _, e := range extension {
		if e.key == last {
			continue
		}
		if value := v.text(e.path...); value != "" {
			put(e.key, value)
			last = e.key
		}
	}
	if gid := v.text("alert", "gid"); gid != "" {
		put("cs1Label", "gid")
		put("cs1", gid)
		put("cs2Label", "rev")
		put("cs2", v.text("alert", "rev"))
	}
	if id := v.text("community_id"); id != "" {
		put("cs3Label", "community_id")
		put("cs3", id)
	}
	return b
}

// address puts an address: src and dst of CEF 0 are of IPv4 only.
func address(put func(key, value string), text, key4, key6, label string) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
	case a.Unmap().Is4():
		put(key4, a.Unmap().String())
	default:
		put(key6+"Label", label)
		put(key6, a.String())
	}
}
