// Package syslog sends each event as one message to the local syslog, syslog://LOG_LOCAL0 to LOG_LOCAL7, or to a server:
// syslog+udp://, syslog+tcp://, syslog+tls://.
package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"dragonfly/engine"
)

// Kind is syslog://.
var Kind = engine.OutputKind{
	Doc:     "`syslog://LOG_LOCAL0` ... `LOG_LOCAL7`, `LOG_USER`, `LOG_DAEMON`: one message per event to the local syslog, at level info.",
	Options: []engine.Option{{Key: "socket", Type: engine.String, Default: "/dev/log", Doc: "Datagram socket of the local syslog."}},
	New:     New,
}

// facilities by name, RFC 3164 section 4.1.1.
var facilities = map[string]int{"LOG_USER": 1, "LOG_DAEMON": 3, "LOG_LOCAL0": 16, "LOG_LOCAL1": 17, "LOG_LOCAL2": 18,
	"LOG_LOCAL3": 19, "LOG_LOCAL4": 20, "LOG_LOCAL5": 21, "LOG_LOCAL6": 22, "LOG_LOCAL7": 23}

const levelInfo = 6

type output struct {
	socket   string
	priority int
	conn     net.Conn
}

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	facility, ok := facilities[strings.ToUpper(strings.Trim(p.Address, "/"))]
	if !ok {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q is no facility, want LOG_LOCAL0 to LOG_LOCAL7, LOG_USER or LOG_DAEMON", p.Address)}
	}
	return &output{socket: p.Options.String("socket"), priority: facility<<3 | levelInfo}, nil
}

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", o.socket)
	o.conn = conn
	if err != nil {
		o.conn = nil
	}
	return err
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	for i := range batch {
		msg := fmt.Sprintf("<%d>%s dragonfly[%d]: %s", o.priority, time.Now().Format(time.Stamp), os.Getpid(), batch[i].Body)
		o.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, err := o.conn.Write([]byte(msg))
		if errors.Is(err, syscall.EMSGSIZE) {
			return i, &engine.RejectError{Err: fmt.Errorf("%d bytes are too long for the local syslog", len(msg))}
		}
		if err != nil {
			o.Close()
			return i, err
		}
	}
	return len(batch), nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.conn == nil {
		return nil
	}
	err := o.conn.Close()
	o.conn = nil
	return err
}

// Paths implements engine.PathUser: connecting needs none.
func (*output) Paths() []engine.PathUse { return nil }
