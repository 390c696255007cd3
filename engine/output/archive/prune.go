package archive

import (
	"context"
	"path/filepath"
	"time"

	"dragonfly/engine/output/internal/kept"
)

// tend closes files that got nothing for long, and removes old ones.
func (o *output) tend(ctx context.Context) {
	idle := time.NewTicker(max(o.idle/2, 10*time.Millisecond))
	defer idle.Stop()
	prune := time.NewTicker(o.every)
	defer prune.Stop()
	if o.age == 0 && o.size == 0 {
		prune.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			o.closeIdle()
		case <-prune.C:
			if err := o.prune(ctx); err != nil && ctx.Err() == nil {
				o.log.Error("cannot remove old files", "dir", o.dir, "err", err)
			}
		}
	}
}

func (o *output) closeIdle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.open {
		if time.Since(f.used) >= o.idle {
			o.forget(f)
		}
	}
}

// prune removes the files that are too old, and the oldest while there is too much. Only files whose names the template can
// have made are looked at; open ones stay. Directories that become empty are removed.
func (o *output) prune(ctx context.Context) error {
	return kept.Rule{Root: o.root, Match: o.pattern.MatchString, Depth: o.name.Depth(), Age: o.age, Size: o.size, Remove: o.remove}.Prune(ctx)
}

// remove removes one file that is not open, and its directories if they are empty then.
func (o *output) remove(name string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[name] != nil {
		return false, nil
	}
	if err := kept.Drop(o.root, name); err != nil {
		return false, err
	}
	o.removed.Add(1)
	o.log.Debug("old file removed", "path", filepath.Join(o.dir, name))
	return true, nil
}
