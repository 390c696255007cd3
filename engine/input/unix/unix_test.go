package unix

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine"
	test "dragonfly/test/rig"
)

// rig runs an input on a socket of its own.
type rig struct {
	*test.Input
	t    *testing.T
	path string
	in   *input
}

func newRig(t *testing.T, clients int64) *rig {
	path := filepath.Join(t.TempDir(), "s")
	r := test.NewInput(t, Kind, "unix://"+path, engine.Values{"max_clients": clients})
	return &rig{r, t, path, r.In.(*input)}
}

func (r *rig) dial() *net.UnixConn {
	r.t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// want waits for these records, in any order.
func (r *rig) want(bodies ...string) {
	r.t.Helper()
	var got []string
	for _, rec := range r.Records(len(bodies)) {
		got = append(got, rec.Body)
	}
	slices.Sort(got)
	slices.Sort(bodies)
	if !slices.Equal(got, bodies) {
		r.t.Fatalf("got %q, want %q", got, bodies)
	}
}

func TestUnixServesSeveralClients(t *testing.T) {
	r := newRig(t, 64)
	r.Start()
	a, b := r.dial(), r.dial()
	io.WriteString(a, `{"a":`)
	io.WriteString(b, "{\"b\":1}\n{\"b\":2}\r\n")
	r.want(`{"b":1}`, `{"b":2}`)
	io.WriteString(a, "1}\n")
	r.want(`{"a":1}`)
	r.Close()
	if _, err := os.Lstat(r.path); err == nil {
		t.Error("the socket file is still there")
	}
}

func TestUnixTakesThePartialLineOfAClientThatGoes(t *testing.T) {
	r := newRig(t, 64)
	r.Start()
	c := r.dial()
	io.WriteString(c, "{\"a\":1}\n{\"b\":")
	c.Close()
	r.want(`{"a":1}`, `{"b":`)
	r.Close()
}

func TestUnixSeparatesGluedEvents(t *testing.T) {
	whole, cut := `{"timestamp":"2026-11-20","n":1}`, `{"timestamp":"2026-11-20","pay`
	nested := `{"timestamp":"2026-11-20","x":{"timestamp":"old"}}`
	for name, c := range map[string]struct {
		line string
		want []string
	}{
		"whole":            {whole, []string{whole}},
		"cut and whole":    {cut + whole, []string{cut, whole}},
		"two cut":          {cut + cut + whole, []string{cut + cut, whole}},
		"newline lost":     {whole + whole, []string{whole, whole}},
		"nested":           {nested, []string{nested}},
		"cut and nested":   {cut + nested, []string{cut, nested}},
		"in a string":      {`{"timestamp":"x","s":"{\"timestamp\":1}"}`, []string{`{"timestamp":"x","s":"{\"timestamp\":1}"}`}},
		"nothing to save":  {cut + cut, []string{cut + cut}},
		"not JSON at all":  {"hello", []string{"hello"}},
		"too many to mend": {strings.Repeat(`{"timestamp":`, 50_000), []string{strings.Repeat(`{"timestamp":`, 50_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 64)
			r.Start()
			io.WriteString(r.dial(), "{\"first\":1}\n"+c.line+"\n{\"last\":1}\n")
			r.want(append(c.want, `{"first":1}`, `{"last":1}`)...)
			r.Close()
			if want := int64(len(c.want) - 1); r.Count(t, "lines_resynchronised_total") != want {
				t.Errorf("counted %d, want %d", r.Count(t, "lines_resynchronised_total"), want)
			}
		})
	}
}

func TestUnixLetsFurtherClientsWait(t *testing.T) {
	r := newRig(t, 1)
	r.Start()
	a := r.dial()
	io.WriteString(a, "a\n")
	r.want("a")
	b := r.dial()
	io.WriteString(b, "b\n")
	a.Close()
	r.want("b")
	r.Close()
}

// What a client has sent when the engine stops under a full pipeline is still delivered.
func TestUnixDeliversWhatWasSentWhenItStops(t *testing.T) {
	r := newRig(t, 64)
	r.Gate = make(chan struct{})
	r.Start()
	c := r.dial()
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i))
	}
	io.WriteString(c, strings.Join(want, "\n")+"\n")
	io.WriteString(c, `{"partial":1}`)
	r.Cancel()
	close(r.Gate) // the pipeline gets free while it drains
	r.want(append(want, `{"partial":1}`)...)
	r.Close()
}

func TestUnixSetsPermissions(t *testing.T) {
	r := newRig(t, 64)
	if info, err := os.Lstat(r.path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func BenchmarkResync(b *testing.B) {
	in := &input{}
	line := `{"timestamp":"2026-11-20T10:00:00.000000+0000","flow_id":1598023201615874,` + string(bytes.Repeat([]byte(`"key":{"a":1,"b":"text"},`), 17)) + `"last":1}`
	records := []engine.Record{{Body: line}}
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		in.resync(records)
	}
}
