package luabind

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"dragonfly/engine/model"
)

// checkEvery is how often the files of models are looked at.
const checkEvery = time.Second

// maxModelBytes is the size of the largest file that is read as a model.
const maxModelBytes = 512 << 20

// models are those that the scripts of a Loader use: parsed once for each content, shared by all workers, forgotten when
// no script holds them any more. One goroutine looks for changed files. The zero value is ready.
type models struct {
	mu      sync.Mutex
	files   map[string]weak.Pointer[modelFile]
	parsed  map[[sha256.Size]byte]weak.Pointer[model.Model]
	quit    chan struct{} // closed by close; nil until the goroutine runs
	stopped bool
	wg      sync.WaitGroup
}

// modelFile is a model that follows its file.
type modelFile struct {
	name    string
	log     *slog.Logger
	current atomic.Pointer[model.Model] // read by workers, written by whoever holds models.mu

	info    fs.FileInfo // when it was last read; nil: read it at the next look
	settled bool        // it had not been written shortly before
	failure string      // why the file cannot be used now; "" if it can
}

// load returns the model of a file, which the caller must hold as long as it wants the file watched.
func (l *Loader) loadModel(name string, log *slog.Logger) (*modelFile, error) {
	ms := &l.models
	ms.mu.Lock()
	defer ms.mu.Unlock()
	f := ms.files[name].Value()
	if f == nil {
		f = &modelFile{name: name, log: log}
	}
	if err := l.look(f); err != nil {
		return nil, err
	}
	if ms.files == nil {
		ms.files = map[string]weak.Pointer[modelFile]{}
	}
	ms.files[name] = weak.Make(f)
	if ms.quit == nil && !ms.stopped {
		ms.quit = make(chan struct{})
		ms.wg.Go(l.watchModels)
	}
	return f, nil
}

// parseModel returns the model of a text; name stands in errors.
func (l *Loader) parseModel(name string, data []byte) (*model.Model, error) {
	l.models.mu.Lock()
	defer l.models.mu.Unlock()
	return l.models.parse(name, data)
}

// parse is called with mu held, so that workers that start together parse once.
func (ms *models) parse(name string, data []byte) (*model.Model, error) {
	key := sha256.Sum256(data)
	if m := ms.parsed[key].Value(); m != nil {
		return m, nil
	}
	m, err := model.Load(name, data)
	if err != nil {
		return nil, err
	}
	if ms.parsed == nil {
		ms.parsed = map[[sha256.Size]byte]weak.Pointer[model.Model]{}
	}
	ms.parsed[key] = weak.Make(m)
	runtime.AddCleanup(m, ms.forget, key)
	return m, nil
}

// forget drops a content that no one uses any more.
func (ms *models) forget(key [sha256.Size]byte) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.parsed[key].Value() == nil {
		delete(ms.parsed, key)
	}
}

// watchModels is the goroutine that looks for changes.
func (l *Loader) watchModels() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.checkModels()
		case <-l.models.quit:
			return
		}
	}
}

// checkModels looks at every file once.
func (l *Loader) checkModels() {
	ms := &l.models
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for name, w := range ms.files {
		f := w.Value()
		if f == nil {
			delete(ms.files, name)
			continue
		}
		old, failure := f.current.Load(), f.failure
		if err := l.look(f); err != nil {
			if f.failure = err.Error(); f.failure != failure {
				f.log.Warn("model file cannot be used, the old model stays", "file", name, "err", err)
			}
		} else if f.current.Load() != old {
			f.log.Info("model loaded anew", "file", name)
		}
	}
}

// look reads the file if it is another one than at the last look. On errors the model stays as it is. models.mu is held.
func (l *Loader) look(f *modelFile) error {
	info, err := l.stat(f.name)
	if err != nil {
		f.info = nil
		return err
	}
	if f.info != nil && f.settled && os.SameFile(info, f.info) && info.Size() == f.info.Size() && info.ModTime().Equal(f.info.ModTime()) {
		if f.failure != "" {
			return errors.New(f.failure)
		}
		return nil
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", f.name)
	}
	if info.Size() > maxModelBytes {
		return fmt.Errorf("%s: %d bytes, a model has at most %d", f.name, info.Size(), int64(maxModelBytes))
	}
	// A file that is just being written can change again within the resolution of its time stamp.
	f.info, f.settled = info, time.Since(info.ModTime()) > checkEvery
	data, err := l.Read(f.name)
	var m *model.Model
	if err == nil {
		m, err = l.models.parse(f.name, data)
	}
	if err != nil {
		f.failure = err.Error()
		return err
	}
	f.failure = ""
	f.current.Store(m)
	return nil
}

// close ends the goroutine.
func (ms *models) close() {
	ms.mu.Lock()
	ms.stopped = true
	if ms.quit != nil {
		close(ms.quit)
	}
	ms.mu.Unlock()
	ms.wg.Wait()
}
