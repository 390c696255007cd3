package luabind

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/gaissmai/bart"
	lua "github.com/yuin/gopher-lua"
)

// networkSet is a set of networks with values. It is not written after it is made: those of files are shared by workers.
type networkSet struct {
	table   bart.Table[uint32]
	rows    [][]lua.LValue // values of the networks; row 0 is none
	problem string         // of the lines of a file that could not be read; "" is none
}

func newNetworkSet() *networkSet { return &networkSet{rows: [][]lua.LValue{nil}} }

// add adds the network or range that text names, "10.0.0.0/8", "10.0.0.1" or "10.0.0.1-10.0.0.9", with a row of values.
func (s *networkSet) add(text string, row uint32) bool {
	if p, ok := parsePrefix(text); ok {
		s.table.Insert(p, row)
		return true
	}
	first, last, _ := strings.Cut(text, "-")
	a, b, ok := parseRange(strings.TrimSpace(first), strings.TrimSpace(last))
	return ok && s.addRange(a, b, row)
}

func (s *networkSet) addRange(a, b netip.Addr, row uint32) bool {
	if b.Less(a) {
		return false
	}
	rangePrefixes(a, b, func(p netip.Prefix) { s.table.Insert(p, row) })
	return true
}

// find returns the values of the smallest network with ip.
func (s *networkSet) find(ip netip.Addr) (row []lua.LValue, ok bool) {
	i, ok := s.table.Lookup(ip)
	if !ok {
		return nil, false
	}
	return s.rows[i], true
}

// network returns the smallest network with ip.
func (s *networkSet) network(ip netip.Addr) netip.Prefix {
	p, _, _ := s.table.LookupPrefixLPM(netip.PrefixFrom(ip, ip.BitLen()))
	return p
}

// parseNetworks reads a file of networks. A line is a network (address, prefix, or range a-b), or a range in two columns,
// with values behind; columns are separated by tabs, commas or semicolons, may stand in double quotes; after a space
// comes one value to the end of the line. Empty lines, a first line without digits, and what stands behind # (or ; after a
// space) do not count.
func parseNetworks(name string, data []byte) *networkSet {
	p := networkParser{set: newNetworkSet(), rows: map[string]uint32{"": 0}}
	bad, first, n, header := 0, "", 0, true
	for line := range bytes.Lines(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		n++
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' || text[0] == ';' || strings.HasPrefix(text, "//") {
			continue
		}
		if !p.line(text) && !(header && !strings.ContainsAny(text, "0123456789")) {
			if bad++; bad == 1 {
				first = fmt.Sprintf("%s:%d: %.60q is no address, prefix or range", name, n, text)
			}
		}
		header = false
	}
	if p.set.problem = first; bad > 1 {
		p.set.problem += fmt.Sprintf(" (and %d more lines)", bad-1)
	}
	return p.set
}

// networkParser makes a set of lines. Equal values are kept once.
type networkParser struct {
	set  *networkSet
	rows map[string]uint32 // by the columns joined
	cols []string
}

func (p *networkParser) line(text string) bool {
	p.cols = splitColumns(p.cols[:0], text)
	cols := p.cols
	if len(cols) >= 2 {
		if a, b, ok := parseRange(cols[0], cols[1]); ok {
			return p.set.addRange(a, b, p.row(cols[2:]))
		}
	}
	return p.set.add(cols[0], p.row(cols[1:]))
}

// row returns the number of a row of values.
func (p *networkParser) row(cols []string) uint32 {
	key := ""
	if len(cols) > 0 {
		key = strings.Join(cols, "\t") + "\n"
	}
	i, ok := p.rows[key]
	if !ok {
		i = uint32(len(p.set.rows))
		p.rows[key] = i
		row := make([]lua.LValue, len(cols))
		for c := range cols {
			row[c] = lua.LString(strings.Clone(cols[c]))
		}
		p.set.rows = append(p.set.rows, row)
	}
	return i
}

// splitColumns appends the columns of a line. What stands behind the first column says how it goes on.
func splitColumns(cols []string, text string) []string {
	if text[0] != '"' {
		i := strings.IndexAny(text, "\t ,;#")
		if i < 0 {
			return append(cols, text)
		}
		first, rest := text[:i], strings.TrimLeft(text[i:], " ")
		switch {
		case rest == "" || rest[0] == '#' || text[i] == ' ' && rest[0] == ';':
			return append(cols, first)
		case strings.HasPrefix(rest, "- "): // a range with spaces
			last, rest, _ := strings.Cut(strings.TrimLeft(rest[2:], " "), " ")
			return splitColumns(cols, strings.TrimSpace(first+"-"+last+" "+rest))
		case text[i] == ' ' && strings.IndexByte("\t,", rest[0]) < 0:
			value, _, _ := strings.Cut(rest, " #")
			return append(cols, first, strings.TrimSpace(value))
		}
		return splitBy(cols, text, rest[0])
	}
	sep := byte(',')
	if end := strings.IndexByte(text[1:], '"'); end >= 0 && len(text) > end+2 && strings.IndexByte("\t;", text[end+2]) >= 0 {
		sep = text[end+2]
	}
	return splitBy(cols, text, sep)
}

// splitBy splits at sep. A column in double quotes may hold sep and doubled quotes.
func splitBy(cols []string, text string, sep byte) []string {
	for {
		text = strings.TrimLeft(text, " ")
		if strings.HasPrefix(text, `"`) {
			if col, rest, ok := quoted(text[1:]); ok {
				cols = append(cols, col)
				_, rest, more := strings.Cut(rest, string(sep))
				if !more {
					return cols
				}
				text = rest
				continue
			}
		}
		col, rest, more := strings.Cut(text, string(sep))
		cols = append(cols, strings.TrimSpace(col))
		if !more {
			return cols
		}
		text = rest
	}
}

// quoted returns what stands before the closing quote, and what stands behind it.
func quoted(text string) (col, rest string, ok bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(text[:i], `""`, `"`), text[i+1:], true
	}
	return "", "", false
}

// networkFiles remembers the files of networks that are in use, so that workers share one set and a file that has not
// changed is not read again. The zero value is ready; safe for all goroutines.
type networkFiles struct {
	mu     sync.Mutex
	byPath map[string]readFile
	bySum  map[[sha256.Size]byte]weak.Pointer[networkSet]
}

// readFile is a file as it was read.
type readFile struct {
	info fs.FileInfo
	file weak.Pointer[networkSet]
}

// racy is how old a file must be when it is read, so that a later change shows in its time.
const racy = 2 * time.Second

// load returns the networks in the file name. Files with equal content are one.
func (f *networkFiles) load(l *Loader, name string) (*networkSet, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := l.stat(name)
	if err != nil {
		return nil, err
	}
	if old, ok := f.byPath[name]; ok && os.SameFile(old.info, info) && old.info.Size() == info.Size() && old.info.ModTime().Equal(info.ModTime()) {
		if file := old.file.Value(); file != nil {
			return file, nil
		}
	}
	now := time.Now()
	data, err := l.Read(name)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00", name) // messages name the file
	h.Write(data)
	sum := [sha256.Size]byte(h.Sum(nil))
	file := f.bySum[sum].Value()
	if file == nil {
		file = parseNetworks(name, data)
	}
	f.remember(name, sum, file, info, now.Sub(info.ModTime()) >= racy)
	return file, nil
}

func (f *networkFiles) remember(name string, sum [sha256.Size]byte, file *networkSet, info fs.FileInfo, settled bool) {
	if f.byPath == nil {
		f.byPath, f.bySum = map[string]readFile{}, map[[sha256.Size]byte]weak.Pointer[networkSet]{}
	}
	for sum, p := range f.bySum {
		if p.Value() == nil {
			delete(f.bySum, sum)
		}
	}
	p := weak.Make(file)
	f.bySum[sum] = p
	delete(f.byPath, name)
	if settled {
		f.byPath[name] = readFile{info, p}
	}
}

// stat is os.Stat of what Read reads.
func (l *Loader) stat(name string) (fs.FileInfo, error) {
	if rel, ok := strings.CutPrefix(name, l.dir+"/"); ok {
		name = rel
	} else if filepath.IsAbs(name) {
		return os.Stat(name)
	}
	return l.root.Stat(name)
}
