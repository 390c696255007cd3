package tail

import (
	"path/filepath"
	"strings"
)

// matches reports whether name is what the pattern asks for, and not packed.
func matches(pattern, name string) bool {
	ok, _ := filepath.Match(pattern, name)
	return ok && !compressed(name)
}

// alike reports whether name begins as the pattern demands. Whose file it is, its inode or first bytes must tell.
func alike(pattern, name string) bool {
	ext := filepath.Ext(pattern)
	base, _ := filepath.Match(pattern+"*", name)
	dated, _ := filepath.Match(strings.TrimSuffix(pattern, ext)+"-*"+ext, name)
	return !compressed(name) && (base || dated)
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

// compressed reports whether name is a rotated file that was packed.
func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip":
		return true
	}
	return false
}

// packed reports whether name is a rotated file that was packed, in a way that this package can unpack.
func packed(pattern, name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".gz" || ext == ".zst") && rotated(pattern, strings.TrimSuffix(name, ext))
}
