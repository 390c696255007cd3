package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fault is something that happens to the pipeline from outside. After inject it lasts a while, then heal ends it.
type fault struct {
	name              string
	weight            int
	shortest, longest time.Duration // of its duration
	small             bool          // needs the small file system
	ends              bool          // the process does not outlive it
	inner             bool          // the process may be killed, ended or reloaded meanwhile
	inject            func(r *rig) error
	heal              func(r *rig) error // nil: it is over by itself
}

const ms = time.Millisecond

// faults are all that a seed chooses from.
var faults = []fault{
	{name: "kill", ends: true, weight: 10, longest: 300 * ms, inject: (*rig).kill, heal: (*rig).start},
	{name: "crash loop", ends: true, weight: 4, inject: crashLoop, heal: (*rig).start},
	{name: "restart", ends: true, weight: 4, longest: 300 * ms, inject: (*rig).term, heal: (*rig).start},
	{name: "kill while it drains", ends: true, weight: 3, longest: 200 * ms, inject: killDraining, heal: (*rig).start},
	{name: "stop", weight: 4, shortest: 1000 * ms, longest: 3000 * ms, inject: signal(syscall.SIGSTOP), heal: signal(syscall.SIGCONT)},
	{name: "rotation burst while it is stopped", weight: 3, shortest: 100 * ms, longest: 800 * ms, inject: stopAndBurst, heal: signal(syscall.SIGCONT)},
	{name: "rotation burst", weight: 5, inner: true, longest: 500 * ms, inject: burst},
	{name: "rotation burst while it is down", ends: true, weight: 5, longest: 200 * ms, inject: killAndBurst, heal: (*rig).start},
	{name: "socket away", weight: 6, inner: true, shortest: 200 * ms, longest: 2500 * ms, inject: closeReceiver, heal: openReceiver},
	{name: "socket reset", weight: 4, inject: closeReceiver, heal: openReceiver},
	{name: "socket slow", weight: 4, inner: true, shortest: 500 * ms, longest: 2000 * ms, inject: pace(paceSlow), heal: pace(paceFull)},
	{name: "socket not read", weight: 4, inner: true, shortest: 500 * ms, longest: 2500 * ms, inject: pace(paceNone), heal: pace(paceFull)},
	{name: "disk full", weight: 6, small: true, inner: true, shortest: 200 * ms, longest: 2500 * ms, inject: fillDisk, heal: freeDisk},
	{name: "file size limit", weight: 4, inner: true, shortest: 200 * ms, longest: 2500 * ms, inject: limitSize, heal: unlimitSize},
	{name: "read-only file system", ends: true, weight: 3, small: true, shortest: 200 * ms, longest: 2000 * ms, inject: readOnly, heal: writable},
	{name: "output path taken by a directory", weight: 4, inner: true, shortest: 1200 * ms, longest: 2500 * ms, inject: blockOutput, heal: unblockOutput},
	{name: "output moved away", weight: 3, inner: true, longest: 300 * ms, inject: moveOutput},
	{name: "outputs rotated", weight: 3, inner: true, longest: 300 * ms, inject: rotateOutputs},
	{name: "scripts reloaded", weight: 3, longest: 300 * ms, inject: reloadScripts},
	{name: "configuration reloaded", weight: 4, inject: reloadConfig},
	{name: "broken script reloaded", weight: 2, longest: 200 * ms, inject: reloadBroken, heal: reloadScripts},
	{name: "many signals", weight: 3, longest: 200 * ms, inject: manySignals},
	{name: "clock of files stepped", weight: 4, inner: true, longest: 500 * ms, inject: stepTimes},
	{name: "torn temporary file", ends: true, weight: 2, longest: 100 * ms, inject: tearTemp, heal: (*rig).start},
}

// step is a fault of a schedule.
type step struct {
	*fault
	calm  time.Duration // before it
	lasts time.Duration
	inner string // what happens half way: "", kill, restart, reload
}

func (s step) String() string {
	text := fmt.Sprintf("after %v %s", s.calm, s.name)
	if s.lasts > 0 {
		text += fmt.Sprintf(" for %v", s.lasts)
	}
	if s.inner != "" {
		text += " with a " + s.inner
	}
	return text
}

// schedule chooses n faults for a seed; at least two of them kill the process. unfit lists those that this machine
// cannot have.
func schedule(seed uint64, n int, small bool) (steps []step) {
	r := rand.New(rand.NewPCG(seed, 0x5c4ed))
	total := 0
	for i := range faults {
		total += faults[i].weight
	}
	for len(steps) < n {
		p := r.IntN(total)
		f := &faults[0]
		for i := range faults {
			if f = &faults[i]; p < f.weight {
				break
			}
			p -= f.weight
		}
		s := step{fault: f, calm: time.Duration(50+r.IntN(700)) * ms, lasts: f.shortest}
		if f.longest > f.shortest {
			s.lasts += time.Duration(r.Int64N(int64(f.longest - f.shortest))).Round(ms)
		}
		if p := r.IntN(7); f.inner && p < 3 {
			s.inner = []string{"kill", "restart", "reload"}[p]
		}
		if f.small && !small {
			s.fault = &faults[0]
			s.inner = ""
		}
		steps = append(steps, s)
	}
	for _, i := range []int{r.IntN(n), r.IntN(n)} {
		if steps[i].fault.inner {
			steps[i].inner = "kill"
		} else {
			steps[i].fault, steps[i].lasts = &faults[0], time.Duration(r.IntN(300))*ms
		}
	}
	return steps
}

// play does what the steps say while the producer runs, until the first fault that is found.
func (r *rig) play(steps []step) error {
	if !r.settled(6000) {
		return nil
	}
	for i, s := range steps {
		r.note("%d: %s", i+1, s)
		if err := r.do(s); err != nil || len(r.faults) > 0 {
			return err
		}
	}
	return nil
}

// do does one step and wants the pipeline to be live again behind it.
func (r *rig) do(s step) error {
	pause(s.calm)
	if s.name != "kill" && !r.running() { // signals other than KILL end a process that has just begun
		return nil
	}
	r.note("now: %s", s.name)
	if err := s.inject(r); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	pause(s.lasts / 2)
	if err := r.interrupt(s.inner); err != nil {
		return fmt.Errorf("%s with %s: %w", s.name, s.inner, err)
	}
	pause(s.lasts / 2)
	if s.heal != nil {
		if err := s.heal(r); err != nil {
			return fmt.Errorf("the end of %s: %w", s.name, err)
		}
	}
	if len(r.faults) == 0 && r.live(s.name) && closed(r.child.ended) {
		r.fail("the process ended by itself: %v", r.child.err)
	}
	return nil
}

// settled waits until the pipeline runs and its first checkpoint is on disk; then the file is rotated, once in about every
// events. Before that an input has never run, and does not look for files that were rotated away while it was down.
func (r *rig) settled(every int) bool {
	if !r.live("the start") {
		return false
	}
	ok := r.until(patience, func() bool {
		saved, err := readCheckpoint(r.path("state/checkpoint.json"), "eve")
		return err == nil && len(saved) > 0
	})
	if !ok {
		r.fail("no checkpoint after the start")
	}
	r.producer.every.Store(int64(every))
	return ok
}

// interrupt is what happens in the middle of another fault.
func (r *rig) interrupt(how string) error {
	switch how {
	case "kill":
		return errors.Join(r.kill(), r.start())
	case "restart":
		return errors.Join(r.term(), r.start())
	case "reload":
		return reloadConfig(r)
	}
	return nil
}

func (r *rig) signal(s syscall.Signal) error { return r.child.cmd.Process.Signal(s) }

func signal(s syscall.Signal) func(*rig) error {
	return func(r *rig) error { return r.signal(s) }
}

// crashLoop kills the process some times soon after its start.
func crashLoop(r *rig) error {
	for range 2 + r.rand.IntN(4) {
		if err := r.kill(); err != nil {
			return err
		}
		if err := r.start(); err != nil {
			return err
		}
		pause(time.Duration(r.rand.IntN(120)) * ms)
	}
	return r.kill()
}

func killDraining(r *rig) error {
	if err := r.signal(syscall.SIGTERM); err != nil {
		return err
	}
	pause(time.Duration(r.rand.IntN(10)) * ms)
	return r.kill()
}

func burst(r *rig) error {
	r.producer.burst(2 + r.rand.IntN(8))
	return nil
}

func stopAndBurst(r *rig) error {
	if err := r.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return burst(r)
}

func killAndBurst(r *rig) error {
	if err := r.kill(); err != nil {
		return err
	}
	return burst(r)
}

func closeReceiver(r *rig) error { r.receiver.close(); return nil }

func openReceiver(r *rig) error { return r.receiver.open() }

func pace(p int32) func(*rig) error {
	return func(r *rig) error { r.receiver.pace.Store(p); return nil }
}

func fillDisk(r *rig) error { return r.disk.fill() }

func freeDisk(r *rig) error { return r.disk.free() }

// limitSize lets no file of the process grow beyond what the output has now and a little more.
func limitSize(r *rig) error {
	info, err := os.Stat(r.path("disk/out.json"))
	if err != nil {
		return err
	}
	return r.setSizeLimit(uint64(info.Size()) + uint64(r.rand.IntN(20_000)))
}

func unlimitSize(r *rig) error { return r.setSizeLimit(unix.RLIM_INFINITY) }

func (r *rig) setSizeLimit(size uint64) error {
	return unix.Prlimit(r.child.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil)
}

// readOnly begins with a kill: a file system with files open for writing stays writable.
func readOnly(r *rig) error { return errors.Join(r.kill(), r.disk.remount(true), r.start()) }

func writable(r *rig) error { return r.disk.remount(false) }

// moveOutput moves the output file away, if it is there: the one before may have done so, and no event has come since.
func moveOutput(r *rig) error {
	err := os.Rename(r.path("disk/out.json"), r.path(fmt.Sprintf("disk/out.json.moved-%d", r.log.len())))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func blockOutput(r *rig) error {
	return errors.Join(moveOutput(r), os.Mkdir(r.path("disk/out.json"), 0o755))
}

func unblockOutput(r *rig) error { return os.Remove(r.path("disk/out.json")) }

func rotateOutputs(r *rig) error { return r.signal(syscall.SIGUSR1) }

func reloadScripts(r *rig) error {
	r.reloads++
	if err := r.replace("analyzer/judge.lua", fmt.Sprintf("-- version %d\n%s", r.reloads, judgeScript)); err != nil {
		return err
	}
	from := r.log.len()
	if err := r.signal(syscall.SIGHUP); err != nil {
		return err
	}
	r.await("the reload of scripts", from, "the new scripts run")
	return nil
}

func reloadBroken(r *rig) error {
	if err := r.replace("analyzer/judge.lua", "function loop(e\n"); err != nil {
		return err
	}
	from := r.log.len()
	if err := r.signal(syscall.SIGHUP); err != nil {
		return err
	}
	r.await("the refusal of a broken script", from, "the old one")
	return nil
}

// reloadConfig exchanges the pipeline. What it cannot drain, because a sink is down, comes again.
func reloadConfig(r *rig) error {
	if !r.running() {
		return nil
	}
	if err := r.writeConfig(); err != nil {
		return err
	}
	from := r.log.len()
	if err := r.signal(syscall.SIGHUP); err != nil {
		return err
	}
	if !r.await("the reload of the configuration", from, "the new configuration runs") {
		return nil
	}
	if strings.Contains(r.log.since(from), "the old pipeline did not end well") {
		return r.noteCut("a reload without a drain")
	}
	return nil
}

// manySignals sends what a hasty operator and a log rotation may send at the same time.
func manySignals(r *rig) error {
	for range 3 + r.rand.IntN(5) {
		if err := r.writeConfig(); err != nil {
			return err
		}
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGHUP} {
			if err := r.signal(s); err != nil {
				return err
			}
			pause(time.Duration(r.rand.IntN(30)) * ms)
		}
	}
	return nil
}

// stepTimes sets the times of input files off by up to a day, and rotates.
func stepTimes(r *rig) error {
	off := time.Duration(r.rand.Int64N(int64(24*time.Hour))) - 12*time.Hour
	err := r.producer.touch(off)
	r.producer.burst(1)
	return err
}

// tearTemp leaves what a crash in the middle of saving leaves.
func tearTemp(r *rig) error {
	if err := r.kill(); err != nil {
		return err
	}
	return os.WriteFile(r.path("state/checkpoint.json.new"), []byte(`{"version": 1, "inp`), 0o600)
}
