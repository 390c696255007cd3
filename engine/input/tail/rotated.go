package tail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// resume begins where the checkpoints say, also in files that were rotated away meanwhile, and in those that were
// created and rotated away while nobody looked.
func (in *input) resume() {
	in.openDir()
	if !in.remember {
		return
	}
	old := in.checkpoints.Load(in.tag)
	in.checkpoints.Start(in.tag)
	defer in.checkpoints.Settle(in.tag)
	if old == nil { // it never ran
		return
	}
	in.started = true // what is not in the checkpoints is new
	var newest time.Time
	for _, p := range old {
		f := in.findOld(p)
		if f == nil {
			f = in.followCopy(p)
		}
		if f == nil {
			in.log.Warn("a file that was followed is gone: what was not yet read of it is lost", "path", p.Path, "offset", p.Offset)
			continue
		}
		if f.info.ModTime().After(newest) {
			newest = f.info.ModTime()
		}
	}
	if !newest.IsZero() {
		in.followNewer(newest)
	}
}

// findOld follows the file of a position, whatever it is called now.
func (in *input) findOld(p engine.Position) *followed {
	return in.followSibling(p, func(file *os.File, info os.FileInfo) bool {
		return info.Size() >= p.Offset && lines.Same(file, p)
	})
}

// copyLen is how many first bytes must agree for a file to be taken for the copy of another: a line's timestamp at least.
const copyLen = 64

// followCopy follows the copy of a file that was copied and truncated, if it holds more than was read.
func (in *input) followCopy(p engine.Position) *followed {
	if p.FingerprintLen < copyLen {
		return nil
	}
	return in.followSibling(p, func(file *os.File, info os.FileInfo) bool {
		print, err := lines.Fingerprint(file, p.FingerprintLen)
		return err == nil && print == p.Fingerprint && info.Size() > p.Offset
	})
}

// followSibling follows the first file that is the one wanted, from p's offset: under p's name, or one that begins alike.
func (in *input) followSibling(p engine.Position, wanted func(*os.File, os.FileInfo) bool) *followed {
	names := append([]string{filepath.Base(p.Path)}, in.siblings(alike)...)
	for _, name := range names {
		file, err := in.open(name)
		if err != nil {
			continue
		}
		if info, err := file.Stat(); err == nil && in.known(file) == nil && wanted(file, info) {
			return in.followAt(file, name, p.Offset)
		}
		file.Close()
	}
	return nil
}

// followNewer follows rotated files that nobody has seen under their first name: those written since the newest known
// one was, oldest first. What was read and closed before is older by the grace at least.
func (in *input) followNewer(newest time.Time) {
	type sibling struct {
		name string
		file *os.File
		at   time.Time
	}
	var list []sibling
	for _, name := range in.siblings(rotated) {
		file, err := in.open(name)
		if err != nil {
			continue
		}
		info, err := file.Stat()
		if err != nil || info.ModTime().Before(newest) || in.known(file) != nil {
			file.Close()
			continue
		}
		list = append(list, sibling{name, file, info.ModTime()})
	}
	slices.SortFunc(list, func(a, b sibling) int { return a.at.Compare(b.at) })
	for _, s := range list {
		in.followAt(s.file, s.name, 0)
	}
}

// siblings returns the files that belong to the followed ones by name, sorted; packed ones were read before.
func (in *input) siblings(belongs func(pattern, name string) bool) []string {
	all, _ := in.list()
	names := slices.DeleteFunc(all, func(name string) bool { return compressed(name) || !belongs(in.pattern, name) })
	slices.Sort(names)
	return names
}

// alike reports whether name begins as the pattern demands. Whose file it is, its inode or first bytes must tell.
func alike(pattern, name string) bool {
	ext := filepath.Ext(pattern)
	base, _ := filepath.Match(pattern+"*", name)
	dated, _ := filepath.Match(strings.TrimSuffix(pattern, ext)+"-*"+ext, name)
	return base || dated
}

// rotated reports whether name matches the pattern, or would without the number or date that a rotation adds:
// eve.json.1, eve.json-20261120, eve-20261120.json. Other files beside it are foreign, perhaps an output of ours.
func rotated(pattern, name string) bool {
	if ok, _ := filepath.Match(pattern, name); ok || numbered(pattern, name) {
		return true
	}
	ext := filepath.Ext(pattern)
	stem, ok := strings.CutSuffix(name, ext)
	return ok && ext != "" && numbered(strings.TrimSuffix(pattern, ext), stem)
}

// numbered reports whether name is what the pattern matches, with a number or date behind it.
func numbered(pattern, name string) bool {
	digit := false
	for i := len(name) - 1; i > 0 && strings.IndexByte("0123456789-._:TZ", name[i]) >= 0; i-- {
		digit = digit || name[i]-'0' <= 9
		if ok, _ := filepath.Match(pattern, name[:i]); ok && digit && strings.IndexByte("-._", name[i]) >= 0 {
			return true
		}
	}
	return false
}
