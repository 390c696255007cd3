package engine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Access is what a component does with a path.
type Access int

// The accesses. Each includes those before it: a|b is the greater one.
const (
	Read   Access = 0 // open files and list directories
	Socket Access = 1 // in a directory: also bind sockets, and remove them
	Write  Access = 3 // also make, change, rename and remove files and directories
)

func (a Access) String() string {
	return map[Access]string{Read: "read", Socket: "bind sockets", Write: "write"}[a]
}

// PathUse says that a component goes on using a path after Open: a directory with all that is below it, or a single file.
// A path to Read that does not exist yet stands for the nearest directory above it that does; others must exist.
type PathUse struct {
	Path   string // absolute
	Access Access
	// Kept: the directory or file is opened again while the process runs (rotation, snapshots), so the user that the process
	// becomes must be able to write to it. What is only opened once need not be.
	Kept bool
}

// PathUser is an Input or Output that says which paths it uses. The command asks after Open and before the process confines
// itself: what was not said then cannot be reached later. The answer may be nil: nothing. The network use of a component
// that does not implement PathUser is taken for unknown, and then TCP is not restricted.
type PathUser interface {
	Paths() []PathUse
}

// PortUse is a TCP port that a component connects to, or listens on, after Open.
type PortUse struct {
	Port uint16
	Bind bool // listens
}

// PortUser is a PathUser that uses TCP. any says that it may connect to every port.
type PortUser interface {
	Ports() (ports []PortUse, any bool)
}

// ReadDir is the use of an input that reads path: the directory of path, as files are rotated and replaced there, and those
// that symbolic links lead to. The last part of path may be a pattern, and so may parts before it. A link that somebody has
// planted is not followed: its owner must be root, this user, or the owner of what it leads to.
func ReadDir(path string) []PathUse {
	dir := filepath.Dir(path)
	for strings.ContainsAny(dir, "*?[") {
		dir = filepath.Dir(dir)
	}
	uses := []PathUse{{Path: dir}}
	if !strings.ContainsAny(path, "*?[") {
		uses = append(uses, PathUse{Path: path})
	}
	found, _ := filepath.Glob(path)
	for _, f := range found {
		if to, err := filepath.EvalSymlinks(f); err == nil && filepath.Dir(to) != filepath.Dir(f) && Trusted(f, to) {
			uses = append(uses, PathUse{Path: filepath.Dir(to)})
		}
	}
	return uses
}

// Trusted reports whether a symbolic link may be followed: its owner is root or this user, who may do so anyway, or the owner of
// what it leads to. Another one may have planted it to make us open what it cannot.
func Trusted(link, to string) bool {
	from, err := os.Lstat(link)
	if err != nil {
		return false
	}
	owner := func(info os.FileInfo) int {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid)
		}
		return -1
	}
	if by := owner(from); by == 0 || by == os.Geteuid() {
		return true
	}
	target, err := os.Stat(to)
	return err == nil && owner(target) == owner(from)
}
