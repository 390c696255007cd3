package deadletter

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func (b *Box) purge(t *testing.T) (p Purged) {
	t.Helper()
	err := b.Change(func() error { return nil }, func() (err error) { p, err = b.Purge(); return err })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPurgeRemovesOnlyWhatIsDone(t *testing.T) {
	b := newBox(t, 2) // 0, 1
	one, two, three, packed := b.Path+".20261120.130000", b.Path+".20261120.140000", b.Path+".20261120.150000", b.Path+".20261120.160000.gz"
	put(t, one, 2, 10)                                                // all done
	write(t, two, numbered(20)+"\ndamaged\n"+numbered(21)+"\n{\"cut") // one done
	put(t, three, 1, 30)                                              // pending
	pack(t, packed, numbered(40)+"\n"+numbered(41)+"\n")              // one done
	put(t, b.Path+".1", 1, 50)                                        // done, of logrotate
	if err := os.Chmod(two, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, n, err := b.replayOpen(`"n":30`); n != 1 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	b.drop(t, 0, 10, 11, 20, 40, 50)
	p := b.purge(t)
	if p.Removed != 4 || p.Files != 1 || p.Rewritten != 2 || len(p.Kept) != 2 {
		t.Errorf("got %+v", p)
	}
	if _, err := os.Stat(one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", one, err)
	}
	if got, want := read(t, two), "damaged\n"+numbered(21)+"\n{\"cut\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if info, err := os.Stat(two); err != nil || info.Mode().Perm() != 0o604 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	want(t, b.events(t), "damaged", `{"n":21} open`, "damaged", `{"n":30} pending`, `{"n":41} open`, `{"n":50} dropped`, `{"n":0} dropped`, `{"n":1} open`)
	index := read(t, b.Path+IndexSuffix)
	if n := strings.Count(index, "\n"); n != 3 || strings.Contains(index, IDOf(numbered(10)).Full()) {
		t.Errorf("the index has %d lines, want those of 30, 50, 0:\n%s", n, index)
	}
	if p := b.purge(t); p.Removed != 0 || p.Rewritten != 0 || p.Files != 0 {
		t.Errorf("a second purge: %+v", p)
	}
	if parts, _ := filepath.Glob(b.Path + "*.part"); len(parts) != 0 {
		t.Errorf("left behind: %v", parts)
	}
}

func TestPurgeKeepsWhatStandsBehindATornLine(t *testing.T) {
	b := newBox(t, 0)
	rotated := b.Path + ".20261120.130000"
	torn := numbered(9)[:100]
	write(t, rotated, torn+numbered(0)+"\n"+torn+numbered(1)+"\n"+numbered(2)+"\n")
	want(t, b.events(t), "damaged", `{"n":0} open`, "damaged", `{"n":1} open`, `{"n":2} open`)
	if _, n, err := b.replayOpen(`"n":0`); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	b.drop(t, 1, 2)
	if p := b.purge(t); p.Removed != 2 || p.Rewritten != 1 {
		t.Errorf("got %+v", p)
	}
	if got, want := read(t, rotated), torn+"\n"+numbered(0)+"\n"+torn+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	want(t, b.events(t), "damaged", `{"n":0} pending`, "damaged")
}

func TestPurgeLeavesAFileThatIsBeingWritten(t *testing.T) {
	b := newBox(t, 1)
	rotated := b.Path + ".20261120.130000"
	put(t, rotated, 1, 5)
	b.drop(t, 5)
	f, err := os.OpenFile(rotated, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.purge(t); p.Removed != 0 || len(p.Kept) != 1 || !strings.Contains(p.Kept[0], "writing") {
		t.Errorf("got %+v", p)
	}
	f.Close()
	r, err := os.Open(rotated)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if written(r) {
		t.Skip("this file system has no leases: only the age of the file counts")
	}
	if p := b.purge(t); p.Removed != 1 {
		t.Errorf("got %+v", p)
	}
}

func TestRotateOfABoxWithoutAnEngine(t *testing.T) {
	b := newBox(t, 2)
	f, err := os.OpenFile(b.Path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(); !errors.Is(err, ErrWritten) {
		t.Errorf("got %v", err)
	}
	f.Close()
	if helps, err := b.CurrentHasDone(); helps || err != nil {
		t.Errorf("got %v, %v", helps, err)
	}
	b.drop(t, 1)
	if helps, err := b.CurrentHasDone(); !helps || err != nil {
		t.Errorf("got %v, %v", helps, err)
	}
	for i := range 3 {
		put(t, b.Path, 1, i)
		err := b.Rotate()
		if errors.Is(err, ErrWritten) {
			t.Skip("this file system has no leases: only the age of the file counts")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := b.events(t); len(got) != 3 {
		t.Errorf("got %q", got)
	}
	if err := b.Rotate(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if p := b.purge(t); p.Removed != 1 || p.Files != 1 {
		t.Errorf("got %+v", p)
	}
	want(t, b.events(t), `{"n":0} open`, `{"n":2} open`)
}
