package pcap

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReaderAgreesWithTshark compares times and lengths of every frame with what tshark made of the reference captures.
func TestReaderAgreesWithTshark(t *testing.T) {
	captures, _ := filepath.Glob("../../../../shared/data/*/*/*.pcap*")
	if len(captures) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the reference captures are missing")
		}
		t.Skip("the reference captures are missing")
	}
	for _, name := range captures {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(strings.TrimSuffix(strings.TrimSuffix(name, "ng"), ".pcap") + ".packets.tsv")
			if errors.Is(err, os.ErrNotExist) {
				t.Skip("there is no list of its packets")
			}
			c := csv.NewReader(strings.NewReader(string(text)))
			c.Comma, c.LazyQuotes, c.FieldsPerRecord = '\t', true, -1
			want, err := c.ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			frames, _, err := all(t, f)
			if cut := strings.Contains(name, "cutfile"); cut && !errors.Is(err, io.ErrUnexpectedEOF) || !cut && err != io.EOF {
				t.Errorf("got %v", err)
			}
			if len(frames) != len(want)-1 {
				t.Fatalf("got %d frames, want %d", len(frames), len(want)-1)
			}
			for i, f := range frames {
				w := want[i+1]
				if got := fmt.Sprintf("%d.%09d %d %d", f.Time/1e9, f.Time%1e9, f.Len, len(f.Data)); got != w[1]+" "+w[2]+" "+w[3] {
					t.Fatalf("frame %d: got %s, want %s", i+1, got, w[1:4])
				}
			}
		})
	}
}
