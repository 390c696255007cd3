package crash

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process of the binary.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // as Wait returned it, then
	from  int           // where its log begins in the journal
}

// journal is the log of the children and the driver, in memory and in a file.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
	file *os.File
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file.Write(b)
	return j.text.Write(b)
}

// since returns what was written behind position from.
func (j *journal) since(from int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text.Bytes()[from:])
}

func (j *journal) len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Len()
}

// start starts the binary. It does not wait.
func (r *rig) start() error {
	r.runs++
	c := &child{cmd: exec.Command(r.binary, "-r", r.dir), ended: make(chan struct{}), from: r.log.len()}
	c.cmd.Stdout, c.cmd.Stderr = r.log, r.log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	r.note("start %d, process %d", r.runs, c.cmd.Process.Pid)
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	r.child, r.undrained = c, 0
	return nil
}

// running waits until the child answers signals.
func (r *rig) running() bool {
	return r.await("the process runs", r.child.from, "threads running")
}

// await waits until a text stands in the journal behind from.
func (r *rig) await(what string, from int, text string) bool {
	if r.until(patience, func() bool { return strings.Contains(r.log.since(from), text) }) {
		return true
	}
	r.fail("timed out: %s", what)
	return false
}

// A condition is waited for in ticks of the test's own, so that a machine that stands still does not make it late.
const tick = 10 * time.Millisecond

// patience is the bound, in ticks, of what has none of its own.
const patience = 6000

// until waits for a condition, at most some ticks, and reports whether it came true.
func (r *rig) until(ticks int, ok func() bool) bool {
	for range ticks {
		if ok() {
			return true
		}
		pause(tick)
	}
	return ok()
}

// kill ends the child with SIGKILL and notes what may come again.
func (r *rig) kill() error {
	if r.child == nil {
		return nil
	}
	if err := r.child.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.child.ended
	r.judgeChild()
	return r.noteCut("kill")
}

// term ends the child with SIGTERM. It drains; while a sink is down it cannot, and what is left comes again.
func (r *rig) term() error {
	c := r.child
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if !r.until(patience, func() bool { return closed(c.ended) }) {
		r.fail("does not end after TERM")
		c.cmd.Process.Signal(syscall.SIGQUIT)
		r.until(500, func() bool { return closed(c.ended) })
		return r.kill()
	}
	text := r.judgeChild()
	gaveUp := strings.Contains(text, "drain_timeout reached")
	if c.err != nil && !gaveUp {
		r.fail("ended by TERM: %v", c.err)
	}
	_, atEnd, _ := strings.Cut(text, "draining; a second signal aborts")
	for _, fault := range judgeLedger(atEnd, !gaveUp) {
		r.fail("%s", fault)
	}
	if gaveUp || c.err != nil {
		return r.noteCut("end without a drain")
	}
	return r.observe()
}

// judgeChild looks at the log of the child that has ended, and forgets it.
func (r *rig) judgeChild() string {
	text := r.log.since(r.child.from)
	for _, bad := range []string{"panic: ", "fatal error: ", "BUG: ", "goroutine 1 ["} {
		if strings.Contains(text, bad) {
			r.fail("the log has %q", bad)
			break
		}
	}
	r.child = nil
	return text
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
