// Package syslog receives syslog messages, RFC 3164 and RFC 5424: over UDP (syslog+udp://), TCP (syslog+tcp://), TLS
// (syslog+tls://), and on unix sockets (syslog+unix://, syslog+unixgram://) such as /dev/log.
//
// A message that is one JSON object, as Suricata's syslog output writes it, is the event, byte for byte. Another one becomes
//
//	{"timestamp": "2026-11-21T10:00:00.000000+0100", "event_type": "syslog", "host": "fw1", "syslog": {"pri": 134,
//	 "facility": "local0", "severity": "info", "app": "sshd", "procid": "77", "msgid": "ID47", "sd": {"id": {"name": "value"}},
//	 "message": "..."}}
//
// in which app, procid, msgid and sd are left out if the message has none. No transport has acks: what a sender has
// sent and we have not read when the process is killed is lost.
package syslog

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
	"dragonfly/engine/input/internal/sock"
	"dragonfly/engine/wire"
)

const what = "receives syslog (RFC 3164, RFC 5424). A message that is a JSON object is the event; another becomes `{\"timestamp\", \"event_type\": \"syslog\", \"host\", \"syslog\": {\"pri\", \"facility\", \"severity\", \"app\", \"procid\", \"msgid\", \"sd\", \"message\"}}`. "

var (
	common = []engine.Option{
		{Key: "zone", Type: engine.String, Default: "Local", Doc: "Time zone of times that name none: `Local`, `UTC`, or a name such as `Europe/Berlin`. One without a year is in the year that brings it nearest to now."},
		{Key: "json", Type: engine.Bool, Default: true, Doc: "Take a message that is a JSON object (also after the cookie `@cee:`) as the event; false makes an event of the other form of every message."},
		{Key: "max_message", Type: engine.Bytes, Default: int64(1 << 20), Min: 480, Max: 64 << 20, Doc: "Longest message in bytes. A longer one goes to the dead letter with its first 4 KiB."},
	}
	ring = []engine.Option{
		{Key: "buffer", Type: engine.Bytes, Default: int64(8 << 20), Min: 4096, Max: 1 << 30, Doc: "Receive buffer of the socket in bytes."},
		{Key: "queue", Type: engine.Int, Default: int64(65536), Min: 1, Max: 1 << 24, Doc: "Datagrams held while the pipeline is full."},
		{Key: "queue_bytes", Type: engine.Bytes, Default: int64(64 << 20), Min: 1 << 20, Max: 1 << 40, Doc: "Their bytes together."},
	}
	stream = []engine.Option{listen.MaxClients}
)

// The kinds, by scheme.
var (
	UDPKind = engine.InputKind{
		Doc:     "`syslog+udp://[ADDRESS]:PORT` (514 if left out): " + what + "Senders do not wait: what does not fit in the kernel's buffer or the queue is lost and counted.",
		Options: join(common, ring), New: newDatagram}
	UnixgramKind = engine.InputKind{
		Doc:     "`syslog+unixgram://PATH`: like syslog+udp, on a unix datagram socket such as /dev/log. Relative paths are below the run directory.",
		Options: join(common, ring, sock.Options), New: newDatagram}
	TCPKind = engine.InputKind{
		Doc:     "`syslog+tcp://[ADDRESS]:PORT` (514 if left out): " + what + "Octet counting and messages that end with a line end are told apart per connection (RFC 6587). With tls_cert like syslog+tls.",
		Options: join(common, stream, wire.ServerOptions), New: newStream}
	TLSKind = engine.InputKind{
		Doc:     "`syslog+tls://[ADDRESS]:PORT` (6514 if left out): like syslog+tcp, over TLS (RFC 5425); tls_cert and tls_key are required.",
		Options: join(common, stream, wire.ServerOptions), New: newStream}
	UnixKind = engine.InputKind{
		Doc:     "`syslog+unix://PATH`: like syslog+tcp, on a unix stream socket. Relative paths are below the run directory.",
		Options: join(common, stream, sock.Options), New: newStream}
)

func join(lists ...[]engine.Option) (all []engine.Option) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// newDecoder checks the common options.
func newDecoder(p engine.Params, local bool) (*decoder, error) {
	zone := time.Local
	if name := p.Options.String("zone"); name != "" && name != "Local" && name != "local" {
		var err error
		if zone, err = time.LoadLocation(name); err != nil {
			return nil, &engine.ConfigError{Key: "zone", Msg: fmt.Sprintf("%q is no time zone known here, want Local, UTC or a name such as Europe/Berlin", name)}
		}
	}
	d := &decoder{zone: zone, json: p.Options.Bool("json"), local: local}
	d.myself, _ = os.Hostname()
	return d, nil
}

// counters of a row, of every transport.
type counters struct {
	messages, broken *atomic.Int64
}

func newCounters(p engine.Params) counters {
	return counters{p.Counter("syslog_messages_total", "Messages received."),
		p.Counter("syslog_unparsed_total", "Messages that begin like RFC 5424 and go on otherwise; all of such a one is in syslog.message.")}
}

// decode turns raw messages into the records of events, in place.
func (d *decoder) decode(raw []engine.Record, peer string, n counters) []engine.Record {
	out := raw[:0]
	for _, r := range raw {
		if r.Reject == "" {
			var broken, ok bool
			if r, broken, ok = d.record(r.Body, peer); !ok {
				continue
			}
			if broken {
				n.broken.Add(1)
			}
		}
		r.Offset = -1
		out = append(out, r)
	}
	n.messages.Add(int64(len(out)))
	return out
}
