package luabind

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// ownDirs are directories of ROOT that hold what is not data of scripts.
var ownDirs = []string{"config", "state", "log", "logs", "bin"}

// downloadable returns an error unless http_get may write the file name, which is relative to ROOT: a list or other data.
// What this program runs, is configured by or keeps is not.
func (l *Loader) downloadable(name string) error {
	lower := strings.ToLower(name)
	parts := strings.Split(lower, "/")
	switch {
	case !fs.ValidPath(name) || name == ".":
		return fmt.Errorf("%q is no file below ROOT: name it by its path from there, as in lists/domains.txt", name)
	case path.Ext(lower) == ".lua":
		return fmt.Errorf("%q is a script: http_get writes data only", name)
	case len(parts) > 1 && slices.Contains(ownDirs, parts[0]):
		return fmt.Errorf("%q is in a directory of the program (%s): choose another", name, strings.Join(ownDirs, ", "))
	}
	for _, p := range parts {
		if strings.HasPrefix(p, ".") {
			return fmt.Errorf("%q is hidden: choose a name without a dot in front", name)
		}
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if info, err := l.root.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%q: %s is a symbolic link: name the directory that it leads to", name, dir)
		}
	}
	info, err := l.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 != 0:
		return fmt.Errorf("%q exists and is no file of data (%s): choose another", name, info.Mode())
	}
	return nil
}
