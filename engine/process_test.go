package engine

import (
	"os"
	"strings"
	"testing"
)

func TestProcessTellsItsSize(t *testing.T) {
	var p process
	if p.open(); p.fd == nil {
		t.Fatal("/proc/self cannot be opened")
	}
	before, ok := p.files()
	if !ok || before < 3 {
		t.Fatalf("got %d open files, %v", before, ok)
	}
	for range 5 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	if after, _ := p.files(); after < before+5 { // more if the runtime needs some of its own
		t.Errorf("got %d open files, want %d or more", after, before+5)
	}
	if n, ok := p.resident(); !ok || n < 1<<20 || n > 1<<40 {
		t.Errorf("got %d resident bytes, %v", n, ok)
	}
	var text strings.Builder
	m := &metricWriter{w: &text}
	p.metrics(m)
	m.flush()
	for _, want := range []string{"\ndragonfly_resident_bytes ", "\ndragonfly_open_files "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
}
