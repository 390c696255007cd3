package app

import "strconv"

// http2Tx is a stream, or one frame on stream 0: what is reported of it.
type http2Tx struct {
	id       int
	stream   uint32
	state    http2State
	reported bool
	halves   [2]http2Half
}

type http2State uint8

const (
	h2Open http2State = iota
	h2ClientData
	h2ClientDone
	h2ServerData
	h2ServerDone
	h2Closed
	h2Global
)

// http2Half is what one side sent, in JSON as far as it can be.
type http2Half struct {
	hasHeaders, hasSettings   bool
	headers, settings         []byte // elements of arrays
	method, path, host, agent []byte // of the last header of that name; nil: there was none
	status, length            int64  // -1 and less: none; 1 is added
	code                      string // error_code
	weight                    int    // priority, 1 is added
	multiple                  string // which of code and weight came twice
}

func (t *http2Tx) size() int { return t.halves[0].size() + t.halves[1].size() }

func (h *http2Half) size() int {
	return len(h.headers) + len(h.settings) + len(h.method) + len(h.path) + len(h.host) + len(h.agent) + 256
}

func (t *http2Tx) empty() bool {
	for i := range t.halves {
		if h := &t.halves[i]; h.hasHeaders || h.hasSettings || h.code != "" || h.weight > 0 {
			return false
		}
	}
	return true
}

// advance moves the state on after a frame.
func (t *http2Tx) advance(d Dir, f http2Frame) {
	if f.kind != h2Data && f.kind != h2Headers {
		return
	}
	if f.flags&h2EndStream == 0 {
		if f.kind == h2Data {
			t.state = max(t.state, [...]http2State{h2ClientData, h2ServerData}[d])
		}
		return
	}
	switch {
	case t.state >= h2Closed:
	case t.state == h2ClientDone || t.state == h2ServerData:
		if d == ToClient {
			t.state = h2Closed
		}
	case t.state == h2ServerDone:
		if d == ToServer {
			t.state = h2Closed
		}
	case d == ToClient:
		t.state = h2ServerDone
	default:
		t.state = h2ClientDone
	}
}

// header adds a header, or what stands in its place.
func (h *http2Half) header(f hpackField, n hpackNote, size uint64) {
	b := append(element(h.headers), '{')
	switch n {
	case hpackHeader:
		if len(f.name.text) > 0 {
			b = memberText(b, "name", f.name.text)
		}
		if len(f.value) > 0 {
			b = memberText(b, "value", f.value)
		} else {
			b = memberWord(b, "value", "")
		}
		h.note(f.name.text, f.value)
	case hpackResize:
		b = memberUint(b, "table_size_update", size)
	default:
		b = memberWord(b, "error", map[hpackNote]string{hpackBadIndex: "HTTP2HeaderDecodeNotIndexed",
			hpackZeroIndex: "HTTP2HeaderDecodeIndex0", hpackOverflow: "HTTP2HeaderDecodeIntegerOverflow"}[n])
	}
	h.headers = append(b, '}')
}

// note keeps the headers that have members of their own.
func (h *http2Half) note(name, value []byte) {
	switch {
	case fold(name, ":method"):
		h.method = value
	case fold(name, ":path"):
		h.path = value
	case fold(name, "host"):
		h.host = value
	case fold(name, "user-agent"):
		h.agent = value
	case fold(name, ":status"):
		h.status = number(value)
	case fold(name, "content-length"):
		h.length = number(value)
	}
}

// number is that in b plus 1; 0 if there is none.
func number(b []byte) int64 {
	n, err := strconv.ParseUint(string(b), 10, 62)
	if err != nil {
		return -1
	}
	return int64(n) + 1
}

func (h *http2Half) error(code uint32, loud bool) {
	if h.code != "" {
		if h.multiple == "" {
			h.multiple = "error_code"
		}
		return
	}
	switch {
	case code >= uint32(len(h2Errors)):
		h.code = strconv.FormatUint(uint64(code), 10)
	case loud:
		h.code = h2LoudErrors[code]
	default:
		h.code = h2Errors[code]
	}
}

func (h *http2Half) priority(weight byte) {
	if h.weight > 0 {
		if h.multiple == "" {
			h.multiple = "priority"
		}
		return
	}
	h.weight = int(weight) + 1
}

var (
	h2Errors = []string{"NoError", "ProtocolError", "InternalError", "FlowControlError", "SettingsTimeout", "StreamClosed", "FrameSizeError",
		"RefusedStream", "Cancel", "CompressionError", "ConnectError", "EnhanceYourCalm", "InadequateSecurity", "Http11Required"}
	h2LoudErrors = upper(append([]string(nil), h2Errors...)...) // of GOAWAY

	h2SettingNames = upper("", "SettingsHeaderTableSize", "SettingsEnablePush", "SettingsMaxConcurrentStreams",
		"SettingsInitialWindowSize", "SettingsMaxFrameSize", "SettingsMaxHeaderListSize")
)

// json appends the event.
func (t *http2Tx) json(b []byte) []byte {
	b = append(b, `"http":{"version":"2"`...)
	for i, name := range [...]string{"request_headers", "response_headers"} {
		if h := &t.halves[i]; h.hasHeaders {
			b = append(member(b, name), '[')
			b = append(append(b, h.headers...), ']')
		}
	}
	// what both sides sent is the server's
	first, last := &t.halves[ToServer], &t.halves[ToClient]
	for _, m := range [...]struct {
		name        string
		first, last []byte
	}{{"http_method", first.method, last.method}, {"url", first.path, last.path}, {"hostname", first.host, last.host},
		{"http_user_agent", first.agent, last.agent}} {
		if m.last != nil {
			m.first = m.last
		}
		if len(m.first) > 0 {
			b = memberText(b, m.name, m.first)
		}
	}
	for _, m := range [...]struct {
		name        string
		first, last int64
	}{{"length", first.length, last.length}, {"status", first.status, last.status}} {
		if m.last != 0 {
			m.first = m.last
		}
		if m.first > 0 {
			b = memberUint(b, m.name, uint64(m.first-1))
		}
	}
	b = append(member(b, "http2"), '{')
	b = memberUint(b, "stream_id", uint64(t.stream))
	b = t.halves[ToServer].json(member(b, "request"))
	b = t.halves[ToClient].json(member(b, "response"))
	return append(b, '}', '}')
}

// json appends what frames say besides headers.
func (h *http2Half) json(b []byte) []byte {
	b = append(b, '{')
	if h.hasSettings {
		b = append(member(b, "settings"), '[')
		b = append(append(b, h.settings...), ']')
	}
	if h.code != "" {
		b = memberWord(b, "error_code", h.code)
	}
	if h.weight > 0 {
		b = memberUint(b, "priority", uint64(h.weight-1))
	}
	if h.multiple != "" {
		b = memberWord(b, "has_multiple", h.multiple)
	}
	return append(b, '}')
}
