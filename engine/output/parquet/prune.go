package parquet

import (
	"context"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"dragonfly/engine/output/internal/kept"
	"dragonfly/engine/wire/template"
)

// retention is which files stay.
type retention struct {
	age   time.Duration // 0: all do
	size  int64         // bytes; 0: all do
	every time.Duration
	depth int
	ours  *regexp.Regexp // names of files that this row makes
	next  time.Time      // when it is looked at
	told  bool           // of an error
}

// fileName matches the file that is made of a segment: see begin.
const fileName = `part-\d{8}T\d{6}\.\d{6}-[0-9a-f]{8}\.parquet`

// names finds out which names files have. The partition is a correct one.
func (r *retention) names(partition, missing string) error {
	prefix := "^"
	if partition != "" {
		partition = path.Clean(partition)
		t, err := template.Path(missing, template.CleanFile).Parse(partition)
		if err != nil {
			return err
		}
		prefix = strings.TrimSuffix(t.Pattern(template.FilePart).String(), "$") + "/"
		r.depth = strings.Count(partition, "/") + 1
	}
	var err error
	r.ours, err = regexp.Compile(prefix + fileName + "$")
	return err
}

// pause is how often prune must be called.
func (r *retention) pause() time.Duration {
	if r.age == 0 && r.size == 0 {
		return time.Hour
	}
	return r.every
}

// prune removes files when it is time to. It is called by the goroutine that makes files: so no directory goes away below one
// that is being made.
func (o *output) prune(ctx context.Context) {
	r := &o.keep
	if r.age == 0 && r.size == 0 || time.Now().Before(r.next) {
		return
	}
	r.next = time.Now().Add(r.every)
	rule := kept.Rule{Root: o.root, Match: r.ours.MatchString, Depth: r.depth, Age: r.age, Size: r.size, Remove: func(name string) (bool, error) {
		if err := kept.Drop(o.root, name); err != nil {
			return false, err
		}
		o.pruned.Add(1)
		o.log.Debug("old file removed", "path", filepath.Join(o.dir, name))
		return true, nil
	}}
	err := rule.Prune(ctx)
	if err != nil && ctx.Err() == nil && !r.told {
		o.log.Error("cannot remove old files, it is tried again", "dir", o.dir, "err", err)
	}
	r.told = err != nil
}
