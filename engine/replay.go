package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"dragonfly/engine/deadletter"
	"dragonfly/engine/lazyjson"
)

// Replay is the source of the input "replay", which every engine has: dead letters that the operator sends back with
// `dragonfly dead-letter replay`. They enter at the stage where they failed. One Replay serves all engines of a process, one
// after the other; it is opened before the process gives up its rights.
//
// A request is read like a finite file: a batch is sent, and when all that was derived from it is finished the progress is
// on the disk before the next batch is sent. So after a kill at most one batch comes twice.
type Replay struct {
	requests *deadletter.Requests
	lock     io.Closer // nil while another engine has it
	busy     bool      // that was told
	told     map[string]string
	hand     *handful // the batch on its way; nil between two
}

// The most of one batch. With a batch a few milliseconds go into the disk.
const (
	replayLen   = 256
	replayBytes = 1 << 20
	replayPoll  = 500 * time.Millisecond
)

// OpenReplay opens the directory of the requests and makes it if it is missing.
func OpenReplay(dir string) (*Replay, error) {
	requests, err := deadletter.OpenRequests(dir)
	if err != nil {
		return nil, err
	}
	return &Replay{requests: requests, told: map[string]string{}}, nil
}

// Close gives back the directory. It is called after the last engine has ended.
func (r *Replay) Close() error {
	var err error
	if r.lock != nil {
		err = r.lock.Close()
	}
	return errors.Join(err, r.requests.Close())
}

// letter is what a replayed record keeps of its dead letter.
type letter struct{ origin, id string }

// handful is a batch of a request.
type handful struct {
	request  string
	progress deadletter.Progress // when it is finished, but for its outcome
	batch    *recordBatch
	done     chan struct{} // closed by the batch when it is finished
}

// runReplay replays what is requested until ctx is done or, when last is closed, until nothing is requested; then it returns
// what could not be replayed.
func (e *Engine) runReplay(ctx context.Context, last <-chan struct{}) error {
	r := e.parts.Replay
	if r == nil {
		return nil
	}
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	for ending := false; ; {
		select {
		case <-last:
			ending = true
		default:
		}
		err := e.replayPending(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if ending {
			return err
		}
		select {
		case <-tick.C:
		case <-last:
		case <-ctx.Done():
			return nil
		}
	}
}

// replayPending replays all requests that are there. Faults are logged, each once, and returned.
func (e *Engine) replayPending(ctx context.Context) error {
	r := e.parts.Replay
	if r.lock == nil {
		lock, err := r.requests.Lock(deadletter.EngineLock)
		if errors.Is(err, deadletter.ErrBusy) {
			if list, _ := r.requests.Pending(); len(list) > 0 && !r.busy {
				r.busy = true
				e.log.Info("another engine with this state directory replays the dead letters", "dir", r.requests.Dir())
			}
			return nil
		}
		if err != nil {
			return e.replayFault("", err)
		}
		r.lock = lock
	}
	if r.requests.TakeRotation() {
		s := e.sinks[routeDeadLetter]
		s.reopen.Store(true)
		s.queue.poke()
	}
	if r.hand != nil { // finished, and its progress could not be saved
		if _, err := r.settle(); err != nil {
			return e.replayFault("", err)
		}
	}
	list, err := r.requests.Pending()
	errs := []error{e.replayFault("", err)}
	for _, request := range list {
		if ctx.Err() != nil {
			return nil
		}
		errs = append(errs, e.replayFault(request, e.replayRequest(ctx, request)))
	}
	return errors.Join(errs...)
}

// replayFault logs what is wrong with a request, when it is new.
func (e *Engine) replayFault(request string, err error) error {
	r := e.parts.Replay
	if err == nil {
		delete(r.told, request)
		return nil
	}
	if text := err.Error(); r.told[request] != text {
		r.told[request] = text
		e.log.Error("dead letters cannot be replayed, trying again", "input", "replay", "err", err)
	}
	return fmt.Errorf("input replay: %w", err)
}

// replayRequest replays one request from where it is to its end, or until ctx is done.
func (e *Engine) replayRequest(ctx context.Context, request string) error {
	r := e.parts.Replay
	o, finished, err := r.requests.Result(request)
	if err != nil {
		return err
	}
	if finished {
		return r.requests.Finish(request, &o)
	}
	progress, err := r.requests.Progress(request)
	if err != nil {
		return fmt.Errorf("how far it is cannot be read: remove that file to replay all of the request again: %w", err)
	}
	src, err := r.requests.OpenRequest(request, progress.Offset)
	if err != nil {
		return err
	}
	defer src.Close()
	e.log.Info("replaying dead letters", "request", request, "finished", progress.Read)
	out := e.newOutbox()
	for {
		items, err := replayBatch(src)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			progress.Time = time.Now().UTC()
			if err := r.requests.Finish(request, &progress.Outcome); err != nil {
				return err
			}
			e.log.Info("replayed dead letters", "request", request, "read", progress.Read, "delivered", progress.Delivered,
				"dropped", progress.Dropped, "dead_lettered_again", progress.Dead())
			return nil
		}
		h, err := e.sendReplay(ctx, out, request, items)
		if err != nil {
			return nil // ctx
		}
		h.progress = progress
		h.progress.Offset = items[len(items)-1].End
		r.hand = h
		select {
		case <-h.done:
		case <-ctx.Done(): // the drain finishes it: settleReplay
			return nil
		}
		if e.commitReplay(ctx) != nil {
			return nil // likewise
		}
		if progress, err = r.settle(); err != nil {
			return err
		}
	}
}

// replayBatch reads the next entries; none at the end.
func replayBatch(src *deadletter.RequestReader) (items []deadletter.Item, err error) {
	for size := 0; len(items) < replayLen && size < replayBytes; {
		it, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		items = append(items, it)
		size += len(it.Event)
	}
	return items, nil
}

// sendReplay sends entries to their stages.
func (e *Engine) sendReplay(ctx context.Context, out *outbox, request string, items []deadletter.Item) (*handful, error) {
	var size int64
	for i := range items {
		size += int64(len(items[i].Event))
	}
	if err := e.gate.admit(ctx, len(items), size); err != nil {
		return nil, err
	}
	h := &handful{request: request, done: make(chan struct{})}
	h.batch = e.gate.newBatch(e.books[len(e.cfg.Inputs)], request, len(items), size, func() { close(h.done) })
	e.plain.Add(1)
	h.batch.letters = make([]letter, len(items))
	for i := range items {
		it, rec := &items[i], &h.batch.records[i]
		rec.offset = int64(i)
		h.batch.letters[i] = letter{it.Origin, it.ID.String()}
		ev := Event{Body: it.Event, rec: rec}
		if it.To == "" {
			h.batch.letters[i] = letter{"replay " + request, ""}
			e.deadLetter(out, &ev, "input replay", ReasonMalformed, errors.New("the line of the request is no dead letter"))
			continue
		}
		e.sendBack(out, ev, it.To)
	}
	out.flush()
	return h, nil
}

// sendBack sends one entry to a stage. Behind a filter events are valid JSON.
func (e *Engine) sendBack(out *outbox, ev Event, to string) {
	route := e.routeOf(to)
	if route == NoRoute {
		e.deadLetter(out, &ev, to, ReasonNoStage, fmt.Errorf("there is no %s in the configuration: `dragonfly dead-letter replay --from filter` sends it through the input's filter", to))
		return
	}
	if !strings.HasPrefix(to, "filter ") {
		ev.hops = 1
		index, err := lazyjson.IndexObject(nil, ev.Body)
		if err == lazyjson.ErrNotObject {
			err = lazyjson.Validate(ev.Body)
		}
		if err != nil {
			e.deadLetter(out, &ev, to, ReasonMalformed, err)
			return
		}
		ev.Index = index
	}
	out.add(route, ev)
}

// routeOf finds a stage as dead letters name it.
func (e *Engine) routeOf(stage string) Route {
	kind, tag, _ := strings.Cut(stage, " ")
	switch kind {
	case "filter":
		for i := range e.cfg.Inputs {
			if strings.EqualFold(e.cfg.Inputs[i].Tag, tag) {
				return e.filterRoute(i)
			}
		}
	case "analyzer":
		return e.Analyzer(tag)
	case "output":
		if r := e.Output(tag); r != NoRoute {
			return r
		}
		switch tag {
		case "log":
			return RouteLog
		case "stats":
			return RouteStats
		}
	}
	return NoRoute
}

// settle books the batch on its way, which is finished, and saves the progress. If that fails it is tried again later:
// until then nothing else of the request is sent.
func (r *Replay) settle() (deadletter.Progress, error) {
	h := r.hand
	p := h.progress
	p.DeadLettered = map[string]int64{}
	for reason, n := range h.progress.DeadLettered {
		p.DeadLettered[reason] = n
	}
	for i := range h.batch.records {
		p.Read++
		switch fate := h.batch.records[i].fate.Load(); {
		case fate&fateDead != 0:
			p.DeadLettered[reasons[fate&fateReason]]++
		case fate == fateDelivered:
			p.Delivered++
		default:
			p.Dropped++
		}
	}
	err := r.requests.SaveProgress(h.request, &p)
	if err == nil {
		r.hand = nil
	}
	return p, err
}

// settleReplay saves the progress after the drain. What is not finished then comes again; so does all of the batch if scripts
// keep state and that could not be saved.
func (e *Engine) settleReplay(saved bool) error {
	r := e.parts.Replay
	if r == nil || r.hand == nil {
		return nil
	}
	h := r.hand
	finished := saved || !e.keepsState()
	select {
	case <-h.done:
	default:
		finished = false
	}
	if !finished {
		r.hand = nil
		return nil
	}
	p, err := r.settle()
	if err != nil {
		return err
	}
	src, err := r.requests.OpenRequest(h.request, p.Offset)
	if err != nil {
		return err
	}
	defer src.Close()
	if _, err := src.Next(); !errors.Is(err, io.EOF) {
		return nil // there is more of it, for the next start
	}
	p.Time = time.Now().UTC()
	return r.requests.Finish(h.request, &p.Outcome)
}
