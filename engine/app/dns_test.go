package app

import (
	"slices"
	"strings"
	"testing"
)

// dnsTalk reads messages, those of the server marked with <, and returns the events.
func dnsTalk(version int, messages ...string) (events []string) {
	p := newDNS(&Config{DNS: true, DNSVersion: version})
	for _, m := range messages {
		d := ToServer
		if m[0] == '<' {
			d, m = ToClient, m[1:]
		}
		p.datagram(d, []byte(m), at{}, func(e *Event) { events = append(events, string(e.Body)) })
	}
	return events
}

const (
	dnsAsk  = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01"
	dnsHead = "<\x12\x34\x81\x80\x00\x01"                                    // and the other three counts
	dnsBody = "\x01a\x04test\x00\x00\x01\x00\x01"                            // the question
	dnsText = "\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x01\x00\x05\x01x\x02\"y" // TXT
)

func TestDNS(t *testing.T) {
	head := `"dns":{"version":2,"type":"answer","id":4660,"flags":"8180","qr":true,"rd":true,"ra":true,"opcode":0,"rrname":"a.test","rrtype":"A","rcode":"NOERROR"`
	record := func(kind, data string) string {
		return "\xc0\x0c\x00" + kind + "\x00\x01\x00\x00\x00\x05\x00" + string(rune(len(data))) + data
	}
	for _, c := range []struct {
		name, message string
		want          []string
	}{
		{"query", dnsAsk, []string{`"dns":{"version":2,"type":"query","id":4660,"rrname":"a.test","rrtype":"A","tx_id":0,"opcode":0}`}},
		{"two questions, z", "\x00\x01\x08\x40\x00\x02\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x1c\x00\x01\xc0\x0c\x12\x34\x00\x01",
			[]string{`"dns":{"version":2,"type":"query","id":1,"rrname":"a","rrtype":"AAAA","tx_id":0,"z":true,"opcode":1}`,
				`"dns":{"version":2,"type":"query","id":1,"rrname":"a","rrtype":"4660","tx_id":0,"z":true,"opcode":1}`}},
		{"address", dnsHead + "\x00\x01\x00\x00\x00\x00" + dnsBody + record("\x01", "\x01\x02\x03\x04"),
			[]string{head + `,"answers":[{"rrname":"a.test","rrtype":"A","ttl":5,"rdata":"1.2.3.4"}],"grouped":{"A":["1.2.3.4"]}}`}},
		{"text", dnsHead + "\x00\x01\x00\x00\x00\x00" + dnsBody + dnsText,
			[]string{head + `,"answers":[{"rrname":"a.test","rrtype":"TXT","ttl":1,"rdata":"x"},{"rrname":"a.test","rrtype":"TXT","ttl":1,"rdata":"\"y"}],"grouped":{"TXT":["x","\"y"]}}`}},
		{"service", dnsHead + "\x00\x01\x00\x00\x00\x00" + dnsBody + record("\x21", "\x00\x01\x00\x02\x00\x03\xc0\x0c"),
			[]string{head + `,"answers":[{"rrname":"a.test","rrtype":"SRV","ttl":5,"srv":{"priority":1,"weight":2,"port":3,"name":"a.test"}}],` +
				`"grouped":{"SRV":[{"priority":1,"weight":2,"port":3,"name":"a.test"}]}}`}},
		{"authority", dnsHead + "\x00\x00\x00\x01\x00\x00" + dnsBody + record("\x06", "\xc0\x0c\xc0\x0c"+strings.Repeat("\x00\x00\x00\x07", 5)),
			[]string{head + `,"authorities":[{"rrname":"a.test","rrtype":"SOA","ttl":5,"soa":{"mname":"a.test","rname":"a.test","serial":7,"refresh":7,"retry":7,"expire":7,"minimum":7}}]}`}},
		{"fingerprint", dnsHead + "\x00\x01\x00\x00\x00\x00" + dnsBody + record("\x2c", "\x01\x02\xab\xcd"),
			[]string{head + `,"answers":[{"rrname":"a.test","rrtype":"SSHFP","ttl":5,"sshfp":{"fingerprint":"ab:cd","algo":1,"type":2}}],` +
				`"grouped":{"SSHFP":[{"fingerprint":"ab:cd","algo":1,"type":2}]}}`}},
		{"no data", dnsHead + "\x00\x01\x00\x00\x00\x00" + dnsBody + record("\x01", ""), nil},
		{"cut", dnsAsk[:len(dnsAsk)-1], nil},
		{"name that points to itself", "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01", nil},
		{"answer to nothing", "<\x12\x34\x81\x80\x00\x00\x00\x00\x00\x00\x00\x00", nil},
		{"more announced than there is", "\x12\x34\x01\x00\xff\xff\x00\x00\x00\x00\x00\x00" + dnsBody, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := dnsTalk(0, c.message); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestDNSNumbersTransactions(t *testing.T) {
	got := dnsTalk(2, dnsAsk, dnsHead+"\x00\x00\x00\x00\x00\x00"+dnsBody, dnsAsk)
	if len(got) != 3 || !strings.Contains(got[0], `"tx_id":0`) || !strings.Contains(got[2], `"tx_id":2`) {
		t.Errorf("got %q, want transactions 0 and 2, with an answer between", got)
	}
}

// TestDNSVersion3 has the shape of Suricata 8.
func TestDNSVersion3(t *testing.T) {
	got := dnsTalk(3, dnsAsk, dnsHead+"\x00\x01\x00\x00\x00\x01"+dnsBody+dnsText+"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x06\x00\x0a\x00\x02\xab\xcd")
	want := []string{
		`"dns":{"version":3,"type":"request","tx_id":0,"id":4660,"flags":"100","rd":true,"opcode":0,"rcode":"NOERROR","queries":[{"rrname":"a.test","rrtype":"A"}]}`,
		`"dns":{"version":3,"type":"response","tx_id":1,"id":4660,"flags":"8180","qr":true,"rd":true,"ra":true,"opcode":0,"rcode":"NOERROR","queries":[{"rrname":"a.test","rrtype":"A"}],` +
			`"answers":[{"rrname":"a.test","rrtype":"TXT","ttl":1,"rdata":"x"},{"rrname":"a.test","rrtype":"TXT","ttl":1,"rdata":"\"y"}],"grouped":{"TXT":["x","\"y"]},` +
			`"additionals":[{"rrname":"","rrtype":"OPT","ttl":0,"opt":[{"code":10,"data":"abcd"}]}]}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestDNSIsBounded: a message that repeats a long name thousands of times.
func TestDNSIsBounded(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 16) + "\x00"
	m := "\x12\x34\x01\x00\x1f\x40\x00\x00\x00\x00\x00\x00" + long + "\x00\x01\x00\x01" + strings.Repeat("\xc0\x0c\x00\x01\x00\x01", 0x1f3f)
	size := 0
	for _, e := range dnsTalk(3, m) {
		size += len(e)
	}
	if size > 2*dnsEnough {
		t.Errorf("%d bytes of events of a message of %d, want at most %d", size, len(m), 2*dnsEnough)
	}
}
