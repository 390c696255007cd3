package deadletter

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// File is one file of dead letters, open for reading.
type File struct {
	Path    string
	Current bool // the engine appends to it
	Own     bool // rotated by the engine: nobody gives that name to another file
	Gzip    bool

	f    *os.File
	info fs.FileInfo // when it was opened; of what is appended later nothing is read
	at   time.Time   // of the rotation
}

// Files are the dead-letter file and its rotated siblings, oldest first.
type Files []*File

// ownName is the suffix that the file output gives to a rotated file; others are what logrotate gives.
var (
	ownName    = regexp.MustCompile(`^\.(\d{8}\.\d{6})(-\d+)?(\.gz)?$`)
	otherNames = regexp.MustCompile(`^(\.\d+|-\d{8}(-\d+)?)(\.gz)?$`)
)

const stampFormat = "20060102.150405"

// OpenFiles opens the dead-letter file at path and its rotated siblings, each once, also while they are being rotated: what
// was written before the call is in them. There may be none.
func OpenFiles(path string) (Files, error) {
	for range 50 {
		list, err := openAll(path)
		if list != nil || err != nil {
			return list, err
		}
	}
	return nil, fmt.Errorf("%s: its rotated files are removed faster than they can be opened", path)
}

// siblings returns the names of the rotated files.
func siblings(path string) ([]string, error) {
	d, err := os.Open(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	all, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if rest, ok := strings.CutPrefix(name, filepath.Base(path)); ok && (ownName.MatchString(rest) || otherNames.MatchString(rest)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// openAll returns nil if one of the files has gone meanwhile. The current one is opened before the others are listed: if it
// is rotated in between it is in the list, and the same file. A file that is there twice, plain and packed, counts once.
func openAll(path string) (list Files, err error) {
	list = Files{}
	defer func() {
		if err != nil {
			list.Close()
			list = nil
		}
	}()
	current, err := openFile(path)
	if err == nil {
		current.Current = true
		list = append(list, current)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return list, err
	}
	names, err := siblings(path)
	if err != nil {
		return list, err
	}
	for _, name := range names {
		if plain, ok := strings.CutSuffix(name, ".gz"); ok && slices.Contains(names, plain) {
			continue // it was being packed
		}
		file, err := openFile(filepath.Join(filepath.Dir(path), name))
		if errors.Is(err, fs.ErrNotExist) {
			list.Close()
			return nil, nil
		}
		if err != nil {
			return list, err
		}
		if slices.ContainsFunc(list, func(o *File) bool { return os.SameFile(o.info, file.info) }) {
			file.f.Close()
			continue
		}
		if m := ownName.FindStringSubmatch(strings.TrimPrefix(name, filepath.Base(path))); m != nil {
			file.Own = true
			if t, err := time.ParseInLocation(stampFormat, m[1], time.Local); err == nil {
				file.at = t
			}
		}
		list = append(list, file)
	}
	slices.SortStableFunc(list, func(a, b *File) int {
		switch {
		case a.Current != b.Current:
			return map[bool]int{true: 1, false: -1}[a.Current]
		case !a.at.Equal(b.at):
			return a.at.Compare(b.at)
		case len(a.Path) != len(b.Path):
			return len(a.Path) - len(b.Path)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return list, nil
}

func openFile(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	var magic [2]byte
	n, _ := f.ReadAt(magic[:], 0)
	return &File{Path: path, f: f, info: info, at: info.ModTime(), Gzip: n == 2 && magic == [2]byte{0x1f, 0x8b}}, nil
}

// Close closes the files.
func (l Files) Close() {
	for _, f := range l {
		f.f.Close()
	}
}

// Damage is a line that is no dead letter, or a file that cannot be read further.
type Damage struct {
	Path string
	Line int64 // 1-based; 0 is the file as a whole
	Err  error
	Open bool // the end of the current file: the engine may be writing it
}

func (d Damage) String() string {
	if d.Line == 0 {
		return fmt.Sprintf("%s: %v", d.Path, d.Err)
	}
	return fmt.Sprintf("%s:%d: %v", d.Path, d.Line, d.Err)
}

// Found is an entry and its place.
type Found struct {
	Entry
	File *File
	Line Line
}

// Scan reads all files, oldest first. It calls each for every entry and bad for every damaged line, and returns the
// first error of each. It may be called again.
func (l Files) Scan(each func(*Found) error, bad func(Damage) error) error {
	for _, f := range l {
		if err := f.Scan(each, bad); err != nil {
			return err
		}
	}
	return nil
}

// Scan reads one file; see Files.Scan.
func (f *File) Scan(each func(*Found) error, bad func(Damage) error) error {
	src, err := f.reader()
	if err != nil {
		return bad(Damage{Path: f.Path, Err: err, Open: f.Current})
	}
	for r := NewReader(src, 0); ; {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return bad(Damage{Path: f.Path, Err: fmt.Errorf("behind line %d: %w", line.Number-1, err), Open: f.Current && f.Gzip})
		}
		e, err := line.Entry()
		if err != nil {
			_, rest, e, ok := line.resync()
			if err = bad(Damage{Path: f.Path, Line: line.Number, Err: err, Open: f.Current && line.Cut && !ok}); err == nil && ok {
				err = each(&Found{Entry: e, File: f, Line: rest})
			}
		} else {
			err = each(&Found{Entry: e, File: f, Line: line})
		}
		if err != nil {
			return err
		}
	}
}

// reader returns the plain text of the file from its beginning, up to what it held when it was opened.
func (f *File) reader() (io.Reader, error) {
	src := io.NewSectionReader(f.f, 0, f.info.Size())
	if !f.Gzip {
		return src, nil
	}
	return gzip.NewReader(bufio.NewReaderSize(src, 64<<10))
}
