package app

import (
	"slices"
	"strings"
	"testing"
)

// TestHTTP has what is said in turns: lines that begin with < are the server's, and end where the packet did.
func TestHTTP(t *testing.T) {
	for _, c := range []struct {
		name string
		talk []string
		want []string
	}{
		{"all members", []string{"GET http://u@Example.Test.:8080/a?b HTTP/1.1\r\nHost: other\r\nUser-Agent: x\r\nReferer: r\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
			"<HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Type: text/html; charset=x\r\nContent-Range: bytes 0-2/*\r\nContent-Length: 3\r\n\r\nabc"},
			[]string{`{"hostname":"example.test","http_port":8080,"url":"http://u@Example.Test.:8080/a?b","http_user_agent":"x","xff":"1.2.3.4","http_content_type":"text/html",` +
				`"content_range":{"raw":"bytes 0-2/*","start":0,"end":2},"http_refer":"r","http_method":"GET","protocol":"HTTP/1.1","status":302,"redirect":"/b","length":3}`}},
		{"pipelined", []string{"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"},
			[]string{`{"url":"/1","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":1}`, `{"url":"/2","http_method":"GET","protocol":"HTTP/1.1","status":404,"length":0}`}},
		{"body of the request", []string{"POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\nGET /no HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n"},
			[]string{`{"url":"/","http_method":"POST","protocol":"HTTP/1.1","status":204,"length":0}`}},
		{"chunked, in pieces", []string{"GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nab", "<c\r\n0", "<\r\nTrailer: x\r\n\r\n"},
			[]string{`{"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":13}`}},
		{"HEAD", []string{"HEAD / HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", "GET /2 HTTP/1.1\r\n\r\n", "<HTTP/1.1 304 x\r\n\r\n"},
			[]string{`{"url":"/","http_method":"HEAD","protocol":"HTTP/1.1","status":200,"length":0}`, `{"url":"/2","http_method":"GET","protocol":"HTTP/1.1","status":304,"length":0}`}},
		{"continue", []string{"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", "x", "<HTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n"},
			[]string{`{"url":"/","http_method":"PUT","protocol":"HTTP/1.1","status":201,"length":0}`}},
		{"until the end", []string{"GET / HTTP/1.0\n\n", "<HTTP/1.0 200 OK\n\nabc", "<def"},
			[]string{`{"url":"/","http_method":"GET","protocol":"HTTP/1.0","status":200,"length":6}`}},
		{"no answer", []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
			[]string{`{"hostname":"a","url":"/","http_method":"GET","protocol":"HTTP/1.1","length":0}`}},
		{"half a request", []string{"GET / HTTP/1.1\r\nHost: a\r\n"},
			[]string{`{"http_port":0,"url":"/","http_method":"GET","protocol":"HTTP/1.1","length":0}`}},
		{"answer to no request", []string{"xxxxxxxxxxxxxxxxxxxx", "<HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
			[]string{`{"http_port":0,"http_method":"xxxxxxxxxxxxxxxxxxxx","status":200,"length":0}`}},
		{"answer without request", []string{"GET / HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n", "<HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"},
			[]string{`{"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`, `{"http_port":0,"url":"/libhtp::request_uri_not_seen","status":400,"length":0}`}},
		{"folded and repeated", []string{"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n c\r\nUser-Agent: d\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n"},
			[]string{`{"hostname":"a","url":"/","http_user_agent":"b c, d","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`}},
		{"bare LF, odd spaces", []string{"GET   /a\tb   HTTP/1.1\nHost:\ta:99999 \n\n", "<HTTP/1.1   404\nContent-Length: 0\n\n"},
			[]string{`{"hostname":"a","url":"/a\tb","http_method":"GET","protocol":"HTTP/1.1","status":404,"length":0}`}},
		{"empty lines after a request", []string{"GET / HTTP/1.1\r\n\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n", "GET /2 HTTP/1.1\r\n\r\n\n", "<HTTP/1.1 204 x\r\n\r\n"},
			[]string{`{"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`, `{"url":"/2","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`,
				`{"http_port":0,"length":0}`}},
		{"no UTF-8", []string{"GET /\xff\" HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n"},
			[]string{`{"url":"/\\xff\"","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`}},
		{"address of IPv6", []string{"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "<HTTP/1.1 204 x\r\n\r\n"},
			[]string{`{"hostname":"[::1]","http_port":8080,"url":"/","http_method":"GET","protocol":"HTTP/1.1","status":204,"length":0}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newTalk(t, &Config{HTTP: true, DNS: true}, 8080)
			for _, s := range c.talk {
				if strings.HasPrefix(s, "<") {
					k.say(ToClient, s[1:])
				} else {
					k.say(ToServer, s)
				}
			}
			var want []string
			for _, w := range c.want {
				want = append(want, `http "http":`+w)
			}
			got := k.end()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

// TestHTTPUpgradesToHTTP2: the request becomes the first stream.
func TestHTTPUpgradesToHTTP2(t *testing.T) {
	k := newTalk(t, &Config{HTTP: true}, 8080)
	k.say(ToServer, "GET /a HTTP/1.1\r\nHost: b\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	k.say(ToClient, "HTTP/1.1 101 x\r\nUpgrade: h2c\r\n\r\n")
	k.say(ToServer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	k.say(ToClient, "\x00\x00\x00\x04\x00\x00\x00\x00\x00"+"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88")
	want := []string{
		`http "http":{"hostname":"b","url":"/a","http_method":"GET","protocol":"HTTP/1.1","status":101,"length":0}`,
		`http "http":{"version":"2","http2":{"stream_id":0,"request":{"settings":[{"settings_id":"SETTINGSMAXCONCURRENTSTREAMS","settings_value":100}]},"response":{}}}`,
		`http "http":{"version":"2","request_headers":[{"name":":method","value":"GET"},{"name":":path","value":"/a"},{"name":":authority","value":"b"},{"name":"Upgrade","value":"h2c"}],` +
			`"response_headers":[{"name":":status","value":"200"}],"http_method":"GET","url":"/a","status":200,"http2":{"stream_id":1,"request":{},"response":{}}}`,
	}
	if got := k.end(); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	original, _ := k.conn.Changed()
	if proto, _, _ := k.conn.Protocols(); proto != "http2" || original != "http" {
		t.Errorf("got %q after %q, want http2 after http", proto, original)
	}
}

// TestHTTPTransactionsAreBounded: a client that never gets an answer.
func TestHTTPTransactionsAreBounded(t *testing.T) {
	k := newTalk(t, &Config{HTTP: true}, 80)
	for range 2 * httpMaxOpen {
		k.say(ToServer, "GET / HTTP/1.1\r\n\r\n")
	}
	if k.open || len(k.events) != httpMaxOpen {
		t.Errorf("open %v with %d events, want closed with %d", k.open, len(k.events), httpMaxOpen)
	}
}
