package main

import (
	"dragonfly/engine"
	"dragonfly/engine/input/dummy"
	infile "dragonfly/engine/input/file"
	inforward "dragonfly/engine/input/forward"
	"dragonfly/engine/input/stdin"
	insyslog "dragonfly/engine/input/syslog"
	"dragonfly/engine/input/tail"
	inunix "dragonfly/engine/input/unix"
	inunixgram "dragonfly/engine/input/unixgram"
	outfile "dragonfly/engine/output/file"
	outforward "dragonfly/engine/output/forward"
	"dragonfly/engine/output/null"
	"dragonfly/engine/output/stdout"
	"dragonfly/engine/output/syslog"
	outunix "dragonfly/engine/output/unix"
	outunixgram "dragonfly/engine/output/unixgram"
)

// inputs is the list of all inputs by scheme.
var inputs = map[string]engine.InputKind{
	"dummy":   dummy.Kind,
	"file":    infile.Kind,
	"forward": inforward.Kind,
	"ipc":     inunixgram.Kind,
	"stdin":   stdin.Kind,

	"syslog+tcp": insyslog.TCPKind, "syslog+tls": insyslog.TLSKind, "syslog+udp": insyslog.UDPKind, "syslog+unix": insyslog.UnixKind, "syslog+unixgram": insyslog.UnixgramKind,

	"tail":     tail.Kind,
	"unix":     inunix.Kind,
	"unixgram": inunixgram.Kind,
	"zfile":    infile.ZKind,
}

// outputs is the list of all outputs by scheme.
var outputs = map[string]engine.OutputKind{
	"file":    outfile.Kind,
	"forward": outforward.Kind,
	"ipc":     outunixgram.Kind,
	"null":    null.Kind,
	"stdout":  stdout.Kind,
	"syslog":  syslog.Kind,

	"syslog+tcp": syslog.TCPKind, "syslog+tls": syslog.TLSKind, "syslog+udp": syslog.UDPKind,

	"unix":     outunix.Kind,
	"unixgram": outunixgram.Kind,
	"zfile":    outfile.ZKind,
}
