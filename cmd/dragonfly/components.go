package main

import (
	"dragonfly/engine"
	"dragonfly/engine/input/dummy"
	infile "dragonfly/engine/input/file"
	inflow "dragonfly/engine/input/flow"
	inforward "dragonfly/engine/input/forward"
	inhttp "dragonfly/engine/input/http"
	inkafka "dragonfly/engine/input/kafka"
	innats "dragonfly/engine/input/nats"
	inpcap "dragonfly/engine/input/pcap"
	inredis "dragonfly/engine/input/redis"
	insqlite "dragonfly/engine/input/sqlite"
	"dragonfly/engine/input/stdin"
	insyslog "dragonfly/engine/input/syslog"
	"dragonfly/engine/input/tail"
	inunix "dragonfly/engine/input/unix"
	inunixgram "dragonfly/engine/input/unixgram"
	"dragonfly/engine/output/archive"
	"dragonfly/engine/output/elastic"
	outfile "dragonfly/engine/output/file"
	outforward "dragonfly/engine/output/forward"
	outhttp "dragonfly/engine/output/http"
	outkafka "dragonfly/engine/output/kafka"
	"dragonfly/engine/output/loki"
	outnats "dragonfly/engine/output/nats"
	"dragonfly/engine/output/null"
	"dragonfly/engine/output/parquet"
	outredis "dragonfly/engine/output/redis"
	"dragonfly/engine/output/splunk"
	outsqlite "dragonfly/engine/output/sqlite"
	"dragonfly/engine/output/stdout"
	"dragonfly/engine/output/syslog"
	outunix "dragonfly/engine/output/unix"
	outunixgram "dragonfly/engine/output/unixgram"
)

// inputs is the list of all inputs by scheme.
var inputs = map[string]engine.InputKind{
	"dummy":           dummy.Kind,
	"file":            infile.Kind,
	"flow":            inflow.Kind,
	"forward":         inforward.Kind,
	"http":            inhttp.Kind,
	"https":           inhttp.SecureKind,
	"ipc":             inunixgram.Kind,
	"kafka":           inkafka.Kind,
	"nats":            innats.Kind,
	"pcap":            inpcap.Kind,
	"redis":           inredis.Kind,
	"rediss":          inredis.Kind,
	"sqlite":          insqlite.Kind,
	"stdin":           stdin.Kind,
	"syslog+tcp":      insyslog.TCPKind,
	"syslog+tls":      insyslog.TLSKind,
	"syslog+udp":      insyslog.UDPKind,
	"syslog+unix":     insyslog.UnixKind,
	"syslog+unixgram": insyslog.UnixgramKind,
	"tail":            tail.Kind,
	"unix":            inunix.Kind,
	"unixgram":        inunixgram.Kind,
	"zfile":           infile.ZKind,
}

// outputs is the list of all outputs by scheme.
var outputs = map[string]engine.OutputKind{
	"archive":       archive.Kind,
	"elasticsearch": elastic.Kind,
	"file":          outfile.Kind,
	"forward":       outforward.Kind,
	"http":          outhttp.Kind,
	"https":         outhttp.SecureKind,
	"ipc":           outunixgram.Kind,
	"kafka":         outkafka.Kind,
	"loki":          loki.Kind,
	"nats":          outnats.Kind,
	"null":          null.Kind,
	"opensearch":    elastic.Kind,
	"parquet":       parquet.Kind,
	"redis":         outredis.Kind,
	"rediss":        outredis.Kind,
	"splunk":        splunk.Kind,
	"sqlite":        outsqlite.Kind,
	"stdout":        stdout.Kind,
	"syslog":        syslog.Kind,
	"syslog+tcp":    syslog.TCPKind,
	"syslog+tls":    syslog.TLSKind,
	"syslog+udp":    syslog.UDPKind,
	"unix":          outunix.Kind,
	"unixgram":      outunixgram.Kind,
	"zfile":         outfile.ZKind,
}
