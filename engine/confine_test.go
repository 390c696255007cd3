package engine

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReadDir(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"in", "real", "more/a"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"in/eve.json", "real/x"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../real/x", filepath.Join(dir, "in/eve-link.json")); err != nil {
		t.Fatal(err)
	}
	f := func(path string, want ...string) {
		t.Helper()
		var got []string
		for _, u := range ReadDir(filepath.Join(dir, path)) {
			if u.Access != Read || u.Kept {
				t.Errorf("%s: got %+v", path, u)
			}
			rel, _ := filepath.Rel(dir, u.Path)
			got = append(got, rel)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	f("in/eve.json", "in", "in/eve.json")
	f("in/not-there", "in", "in/not-there")
	f("in/eve-link.json", "in", "in/eve-link.json", "real")
	f("in/eve*.json", "in", "real")
	f("more/*/eve?.json", "more")
	f("m*/a/x", ".")
}

func TestTrusted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	f := func(linkOwner, targetOwner int, want bool) {
		t.Helper()
		if err := os.Lchown(link, linkOwner, -1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(target, targetOwner, -1); err != nil {
			t.Fatal(err)
		}
		if got := Trusted(link, target); got != want {
			t.Errorf("link of %d to a file of %d: got %v, want %v", linkOwner, targetOwner, got, want)
		}
	}
	f(0, 0, true)
	f(0, 7, true)
	f(7, 7, true)
	f(7, 0, false)
	f(7, 8, false)
	os.Lchown(link, 7, -1)
	os.Remove(target)
	if Trusted(link, target) {
		t.Error("a link of another to nothing is trusted")
	}
}
