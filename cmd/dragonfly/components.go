package main

import (
	"dragonfly/engine"
	"dragonfly/engine/input/dummy"
	infile "dragonfly/engine/input/file"
	inpcap "dragonfly/engine/input/pcap"
	"dragonfly/engine/input/stdin"
	"dragonfly/engine/input/tail"
	inunix "dragonfly/engine/input/unix"
	inunixgram "dragonfly/engine/input/unixgram"
	outfile "dragonfly/engine/output/file"
	"dragonfly/engine/output/null"
	"dragonfly/engine/output/stdout"
	"dragonfly/engine/output/syslog"
	outunix "dragonfly/engine/output/unix"
	outunixgram "dragonfly/engine/output/unixgram"
)

// inputs is the list of all inputs by scheme.
var inputs = map[string]engine.InputKind{
	"dummy":    dummy.Kind,
	"file":     infile.Kind,
	"ipc":      inunixgram.Kind,
	"pcap":     inpcap.Kind,
	"stdin":    stdin.Kind,
	"tail":     tail.Kind,
	"unix":     inunix.Kind,
	"unixgram": inunixgram.Kind,
	"zfile":    infile.ZKind,
}

// outputs is the list of all outputs by scheme.
var outputs = map[string]engine.OutputKind{
	"file":     outfile.Kind,
	"ipc":      outunixgram.Kind,
	"null":     null.Kind,
	"stdout":   stdout.Kind,
	"syslog":   syslog.Kind,
	"unix":     outunix.Kind,
	"unixgram": outunixgram.Kind,
	"zfile":    outfile.ZKind,
}
