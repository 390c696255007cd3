package file

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCut removes what a failed write left, and nothing of what others have written.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	a, b := open(t, dir, "a.json", nil), open(t, dir, "a.json", nil)
	defer a.Close()
	defer b.Close()
	write(t, a, events(0, 2))
	write(t, b, events(2, 4))
	if a.shared != b.shared || a.shared.rows != 2 {
		t.Fatalf("the rows do not know of each other: %+v, %+v", a.shared, b.shared)
	}
	fail := func(text string) {
		t.Helper()
		if _, err := a.file.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	fail(text(4, 5) + `{"n":`)
	if err := a.shared.cut(a.file, len(text(4, 5))+5, len(text(4, 5))); err != nil || content(t, path) != text(0, 5) {
		t.Errorf("got %q, %v", content(t, path), err)
	}
	write(t, b, events(5, 6))
	fail(`{"n"`)
	other, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0) // as another process does
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.WriteString("theirs\n")
	if err := a.shared.cut(a.file, 4, 0); err == nil || content(t, path) != text(0, 6)+`{"n"theirs`+"\n" {
		t.Errorf("got %q, %v", content(t, path), err)
	}
	write(t, b, events(6, 7))
	info, _ := os.Stat(path)
	if a.shared.end != info.Size() {
		t.Errorf("end is %d, the file has %d", a.shared.end, info.Size())
	}
	shared := a.shared
	a.Close()
	b.Close()
	if openFiles.all[shared.id] != nil {
		t.Error("a closed file is still known")
	}
}
