package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"dragonfly/engine"
)

// taker answers the requests of one Run.
type taker struct {
	*input
	ctx     context.Context // of Run
	patient context.Context // ends when nobody waits for events that are taken any longer
	emit    engine.EmitFunc
	turn    chan struct{} // a token for who emits: EmitFunc is for one at a time
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP implements http.Handler.
func (t *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := t.take(w, r)
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(10 * time.Second))
	if err == nil {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, "{\"events\":%d}\n", n)
		return
	}
	answer := &refusal{http.StatusServiceUnavailable, err.Error()}
	errors.As(err, &answer)
	switch answer.status {
	case http.StatusTooManyRequests:
		t.busy.Add(1)
	case http.StatusServiceUnavailable:
		t.late.Add(1)
	default:
		t.refused.Add(1)
		t.log.Debug("request refused", "peer", r.RemoteAddr, "path", r.URL.Path, "status", answer.status, "err", answer.text)
	}
	if answer.status == http.StatusTooManyRequests || answer.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(t.wait/time.Second))))
	}
	if t.ctx.Err() != nil {
		w.Header().Set("Connection", "close")
	}
	http.Error(w, answer.text, answer.status)
}

// take hands the events of a request on and returns how many they are; when depends on ack.
func (t *taker) take(w http.ResponseWriter, r *http.Request) (int, error) {
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(t.readLimit)) // also of a body that is not wanted, which the server reads before it answers
	if err := t.admits(w, r); err != nil {
		return 0, err
	}
	wait, cancel := context.WithTimeout(r.Context(), t.wait)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	body := &body{max: t.maxBody, held: t.held, wait: wait}
	defer body.free()
	text, err := body.read(r)
	if err != nil {
		return 0, t.atEnd(err)
	}
	control.SetReadDeadline(time.Time{}) // else waiting for the events would look like a client that has gone
	records, err := split(text)
	if err != nil {
		return 0, &refusal{http.StatusBadRequest, err.Error()}
	}
	if len(records) == 0 {
		return 0, nil
	}
	limit, stop := context.WithTimeout(r.Context(), t.ackLimit)
	defer stop()
	defer context.AfterFunc(t.patient, stop)()
	room, cancelRoom := context.WithTimeout(limit, t.wait)
	defer cancelRoom()
	defer context.AfterFunc(t.ctx, cancelRoom)()
	finished, err := t.hand(room, limit, records, origin(r))
	if err != nil {
		return 0, t.atEnd(err)
	}
	if t.received {
		return len(records), nil
	}
	select {
	case <-finished:
		return len(records), nil
	case <-limit.Done():
		return 0, &refusal{http.StatusServiceUnavailable, "the events are not delivered yet: send them again"}
	}
}

// atEnd words what went wrong because the input ends.
func (t *taker) atEnd(err error) error {
	if t.ctx.Err() != nil {
		return &refusal{http.StatusServiceUnavailable, "this input ends: send the events again"}
	}
	return err
}

// admits checks path, method and authorization.
func (t *taker) admits(w http.ResponseWriter, r *http.Request) error {
	if !t.takes(r.URL.Path) {
		return &refusal{http.StatusNotFound, "no events are taken at this path"}
	}
	if t.secret != nil && !t.secret.shown(r) {
		w.Header().Set("WWW-Authenticate", t.secret.challenge())
		if now := time.Now().Unix(); now-t.told.Swap(now) >= 30 {
			t.log.Warn("a client is not let in: it shows another auth_token, or none", "peer", r.RemoteAddr)
		}
		return &refusal{http.StatusUnauthorized, "wrong authorization, or none"}
	}
	if r.Method != http.MethodPost && r.Method != http.MethodPut {
		w.Header().Set("Allow", "POST, PUT")
		return &refusal{http.StatusMethodNotAllowed, "want POST"}
	}
	if t.ctx.Err() != nil {
		return t.atEnd(nil)
	}
	return nil
}

// part is the most records of one batch: a request with many more than the pipeline holds need not wait until that is empty.
const part = 512

// hand emits the records. There must be room for the first of them before room ends; then the request is taken, and the others have
// until limit. finished is closed when all are finished.
func (t *taker) hand(room, limit context.Context, records []engine.Record, origin string) (finished <-chan struct{}, err error) {
	busy := &refusal{http.StatusTooManyRequests, "there is no room for events at the moment: send them again later"}
	select {
	case t.turn <- struct{}{}:
	case <-room.Done():
		return nil, busy
	}
	defer func() { <-t.turn }()
	var left atomic.Int64
	all := make(chan struct{})
	left.Store(int64((len(records) + part - 1) / part))
	done := func() {
		if left.Add(-1) == 0 {
			close(all)
		}
	}
	ctx := room
	for len(records) > 0 {
		n := min(part, len(records))
		if err := t.emit(ctx, engine.Batch{Origin: origin, Records: records[:n], Done: done}); err != nil {
			if ctx == room {
				return nil, busy
			}
			return nil, &refusal{http.StatusServiceUnavailable, "not all events could be taken: send them again"}
		}
		records, ctx = records[n:], limit
	}
	return all, nil
}

// origin names the client.
func origin(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "http://" + host + r.URL.Path
}
