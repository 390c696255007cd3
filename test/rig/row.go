// Package rig does for tests of inputs and outputs what the engine does: it makes the Params of a row, opens, runs, delivers.
package rig

import (
	"crypto/x509"
	"maps"
	"net"
	"os"
	"sync/atomic"
	"testing"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// Values returns the defaults of options, overwritten by set.
func Values(options []engine.Option, set engine.Values) engine.Values {
	v := engine.Values{}
	for _, o := range options {
		if o.Default != nil {
			v[o.Key] = o.Default
		}
	}
	maps.Copy(v, set)
	return v
}

// Row is what a row of config.lua logs and counts.
type Row struct {
	Log      parts.Log
	Counters map[string]*atomic.Int64 // by name: those that New has asked for
}

// Params returns the Params of a row with the tag "row". Relative paths are below a directory that is not there.
func (r *Row) Params(options []engine.Option, uri string, set engine.Values) engine.Params {
	scheme, address, _ := engine.SplitURI(uri)
	r.Counters = map[string]*atomic.Int64{}
	return engine.Params{Tag: "row", Version: "1.2", Roots: x509.NewCertPool(), URI: uri, Scheme: scheme, Address: address, Options: Values(options, set), Log: r.Log.Logger(),
		LogDir: "/nowhere", Dial: (&net.Dialer{}).DialContext, Read: os.ReadFile, Counter: func(name, _ string) *atomic.Int64 {
			r.Counters[name] = new(atomic.Int64)
			return r.Counters[name]
		}}
}

// Count is the value of a counter.
func (r *Row) Count(t testing.TB, name string) int64 {
	t.Helper()
	n := r.Counters[name]
	if n == nil {
		t.Fatalf("no counter %q", name)
	}
	return n.Load()
}
