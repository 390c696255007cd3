package file

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/engine"
)

// TestOutputMendsWhatAKillLeft opens files that end in the middle of a line, and appends an event.
func TestOutputMendsWhatAKillLeft(t *testing.T) {
	long := strings.Repeat("x", 200_000)
	for _, c := range []struct{ name, before, want string }{
		{"nothing", "", ""},
		{"whole lines", "{\"n\":1}\n{\"n\":2}\n", "{\"n\":1}\n{\"n\":2}\n"},
		{"piece of an event", "{\"n\":1}\n{\"n\":2,\"s\":\"ab", "{\"n\":1}\n"},
		{"piece that is the whole file", `{"n"`, ""},
		{"one byte of an event", "{\"n\":1}\n{", "{\"n\":1}\n"},
		{"long piece", "{\"n\":1}\n{\"s\":\"" + long, "{\"n\":1}\n"},
		{"long line before", `{"s":"` + long + "\"}\n{\"n", `{"s":"` + long + "\"}\n"},
		{"event without its line end", "{\"n\":1}\n{\"n\":2}", "{\"n\":1}\n{\"n\":2}\n"},
		{"text of somebody else", "note", "note\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out.json")
			if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
				t.Fatal(err)
			}
			o := &output{dir: filepath.Dir(path), name: filepath.Base(path), mode: 0o600, log: slog.New(slog.DiscardHandler)}
			if n, err := o.Write(t.Context(), []engine.Event{{Body: `{"new":1}`}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			info, _ := o.file.Stat()
			if o.shared.end != info.Size() {
				t.Errorf("end is %d, the file has %d", o.shared.end, info.Size())
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			got, _ := os.ReadFile(path)
			if want := c.want + "{\"new\":1}\n"; string(got) != want {
				t.Errorf("got %.100q, want %.100q", got, want)
			}
		})
	}
}

// TestMendLooksAtTheOpenFile opens the output while another row rotates the file: what stands at the path is not what is open.
func TestMendLooksAtTheOpenFile(t *testing.T) {
	for _, now := range []string{"", "{\"n\":1}\n{\"n\"", strings.Repeat("x", 100)} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.json")
		o := open(t, dir, "a.json", nil)
		const whole = "{\"n\":1}\n{\"n\":2}\n"
		if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		o.shared.end, o.shared.mended = int64(len(whole)), false
		if err := o.mend(o.shared); err != nil {
			t.Errorf("%q at the path: got %v", now, err)
		}
		for path, want := range map[string]string{path + ".1": whole, path: now} {
			if got := content(t, path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	}
}
