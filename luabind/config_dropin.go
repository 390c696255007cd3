package luabind

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// DropIn is a file of the directory drop_in: rows beside those of config.lua.
type DropIn struct {
	Name   string // path relative to ROOT, "conf.d/webhook.lua"
	Source []byte
	Err    error // why it cannot be read
}

// Limits of a directory drop_in.
const (
	maxDropIns   = 1000
	maxDropInLen = 1 << 20 // bytes
)

// DropIns reads the files NAME.lua of a directory below ROOT, in the order of their names. Those that begin with "." are left out:
// editors and copying programs write such. A directory that is not there has none.
func (l *Loader) DropIns(dir string) ([]DropIn, error) {
	list, err := fs.ReadDir(l.root.FS(), path.Clean(filepath.ToSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []DropIn
	for _, f := range list {
		if strings.HasPrefix(f.Name(), ".") || !strings.HasSuffix(f.Name(), ".lua") || f.IsDir() {
			continue
		}
		name := path.Join(dir, f.Name())
		info, err := l.root.Stat(name)
		var source []byte
		switch {
		case err == nil && !info.Mode().IsRegular():
			continue
		case err == nil && info.Size() > maxDropInLen:
			err = fmt.Errorf("has %d bytes, want %d at most", info.Size(), maxDropInLen)
		case err == nil:
			source, err = l.root.ReadFile(name)
		}
		if errors.Is(err, fs.ErrNotExist) { // gone meanwhile
			continue
		}
		if len(files) == maxDropIns {
			return nil, fmt.Errorf("%q has more than %d files", dir, maxDropIns)
		}
		files = append(files, DropIn{name, source, err})
	}
	return files, nil
}

// droppedRow is a row of a drop-in.
type droppedRow struct {
	place engine.RowPlace
	table *lua.LTable
	lines map[string]int // of the file
}

// dropIns runs the files of the directory drop_in; rows then finds what they set.
func (c *config) dropIns(dir string) {
	if dir == "" || c.kinds.DropIns == nil {
		return
	}
	if !filepath.IsLocal(dir) {
		c.fail("drop_in", "is %q, want a directory below ROOT, such as \"conf.d\"", dir)
		return
	}
	files, err := c.kinds.DropIns(dir)
	if err != nil {
		c.fail("drop_in", "%v", err)
	}
	c.dropped, c.places = map[string][]droppedRow{}, map[string]engine.RowPlace{}
	for _, f := range files {
		d := &config{file: f.Name, kinds: c.kinds, lines: map[string]int{}}
		if f.Err != nil {
			c.errs = append(c.errs, &engine.ConfigError{File: f.Name, Msg: f.Err.Error()})
			continue
		}
		set, err := d.run(f.Source)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		for name, v := range set {
			if !slices.Contains([]string{"inputs", "analyzers", "outputs"}, name) && v.Type() != lua.LTFunction {
				d.fail(name, "is a setting of config.lua; a file of drop_in has inputs, analyzers and outputs only; a name of your own wants `local` before it")
			}
		}
		for _, name := range []string{"inputs", "analyzers", "outputs"} {
			for i, t := range d.rows(set, name, false) {
				c.dropped[name] = append(c.dropped[name], droppedRow{engine.RowPlace{File: f.Name, Key: fmt.Sprintf("%s[%d]", name, i+1)}, t, d.lines})
			}
		}
		c.errs = append(c.errs, d.errs...)
	}
}

// dropRows appends the rows of drop-ins to those of config.lua, and notes where they are from.
func (c *config) dropRows(name string, rows []*lua.LTable) []*lua.LTable {
	for _, d := range c.dropped[name] {
		rows = append(rows, d.table)
		key := fmt.Sprintf("%s[%d]", name, len(rows))
		c.places[key] = d.place
		for k, line := range d.lines {
			if rest, ok := strings.CutPrefix(k, d.place.Key); ok {
				c.lines[key+rest] = line
			}
		}
	}
	return rows
}

// placeOf returns file and key of what is wrong, as the user wrote it: key may be in a drop-in.
func (c *config) placeOf(key string, line int) (string, string, int) {
	row, rest, _ := strings.Cut(key, "]")
	if p, ok := c.places[row+"]"]; ok {
		if c.lines[row+"]"] == 0 { // it was made by a loop, and the line is that of config.lua
			line = 0
		}
		return p.File, p.Key + rest, line
	}
	return c.file, key, line
}
