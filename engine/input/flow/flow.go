// Package flow captures packets from network interfaces and meters them: flow://. The kernel writes frames into rings
// (ring.go); for each ring a worker decodes them, keeps a flow table of its own and puts the events that come out into a
// queue, from which they go to the pipeline.
//
// A source that cannot wait: while the pipeline is full the queue takes up events, so that packets go on being metered; when
// it is full too, frames stay in the ring, and when that is full the kernel drops frames and counts them. The loss is in the
// counter kernel_dropped_total and in the log, with what helps.
package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/metering"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
)

// Kind is flow://.
var Kind = engine.InputKind{
	Doc: "`flow://INTERFACE[,INTERFACE...]`: captures packets from network interfaces, meters them and emits EVE events as Suricata writes them. It needs CAP_NET_RAW when it starts, and not later. What the kernel cannot put into the ring is lost and counted. An interface that is not there, or goes, is waited for.",
	Options: append([]engine.Option{
		{Key: "promiscuous", Type: engine.Bool, Default: true, Doc: "Take packets that are not for this machine, too, as Suricata and tcpdump do."},
		{Key: "snaplen", Type: engine.Bytes, Default: int64(65535), Min: 96, Max: 1 << 18, Doc: "Bytes to keep of a packet; less than a whole packet makes events of applications incomplete."},
		{Key: "ring_size", Type: engine.Bytes, Default: int64(64 << 20), Min: 1 << 20, Max: 4 << 30, Doc: "Memory of a ring in bytes; there is one for each interface and meter. It bridges the times in which this program does not read: 64 MiB are 0.5 s at 1 Gbit/s."},
		{Key: "block_timeout", Type: engine.Duration, Default: 100 * time.Millisecond, Min: 0.001, Max: 10, Doc: "A packet waits at most so long in the kernel for others to fill a block of the ring."},
		{Key: "queue", Type: engine.Bytes, Default: int64(64 << 20), Min: 1 << 16, Max: 1 << 40, Doc: "Events in bytes that are held while the pipeline is full; packets go on being metered meanwhile. When it is full too, packets wait in the ring."},
	}, metering.Options...),
	New: New,
}

type input struct {
	names    []string
	settings metering.Settings
	options  ringOptions
	log      *slog.Logger
	counter  func(name, help string) *atomic.Int64
	count    counters
	queue    *queue
	workers  []*worker // made by Open
	lossTold atomic.Int64
}

// ringOptions are the options of every ring of a row.
type ringOptions struct {
	promiscuous   bool
	snaplen, size int
	timeout       int // milliseconds
}

// counters are those of a row.
type counters struct {
	dropped, lost, interfaces *atomic.Int64
}

var (
	_ engine.Opener   = (*input)(nil)
	_ engine.Closer   = (*input)(nil)
	_ engine.PortUser = (*input)(nil)
	_ engine.PathUser = (*input)(nil)
)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	var errs []error
	names := strings.Split(p.Address, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if err := checkName(names[i]); err != "" {
			errs = append(errs, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q %s; want flow://eth0 or flow://eth0,eth1", names[i], err)})
		}
		for _, before := range names[:i] {
			if before == names[i] {
				errs = append(errs, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("names interface %s twice", before)})
			}
		}
	}
	settings, err := metering.New(p.Options, "")
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &input{names: names, settings: settings, log: p.Log, queue: newQueue(p.Options.Int("queue")),
		options: ringOptions{promiscuous: p.Options.Bool("promiscuous"), snaplen: int(p.Options.Int("snaplen")),
			size: int(p.Options.Int("ring_size")), timeout: int(p.Options.Duration("block_timeout").Milliseconds())},
		counter: p.Counter, count: counters{dropped: p.Counter("kernel_dropped_total", "Frames that the kernel dropped because the ring was full."),
			lost:       p.Counter("events_lost_total", "Events that the pipeline did not take before the end."),
			interfaces: p.Counter("interfaces_lost_total", "How often an interface went down or was removed.")}}, nil
}

// checkName says what is wrong with the name of an interface.
func checkName(name string) string {
	switch {
	case name == "":
		return "names no interface"
	case name == "any":
		return "is no interface: name each one"
	case len(name) >= unix.IFNAMSIZ:
		return fmt.Sprintf("is longer than %d bytes, the most that the name of an interface may have", unix.IFNAMSIZ-1)
	case strings.ContainsAny(name, "/ \t\n\x00:") || name == "." || name == "..":
		return "cannot be the name of an interface"
	}
	return ""
}

// Paths implements engine.PathUser: rings are no files.
func (in *input) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (in *input) Ports() (ports []engine.PortUse, any bool) { return nil, false }

// Permitted implements engine.Permitter: may this process open rings?
func (in *input) Permitted() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return denied(err)
	}
	return unix.Close(fd)
}

// denied adds what helps to the error of a socket that was not granted.
func denied(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES):
		return fmt.Errorf("capturing packets needs CAP_NET_RAW (%w): start as root, and -p USER gives up its rights afterwards; or setcap cap_net_raw+ep on the program; in systemd AmbientCapabilities=CAP_NET_RAW, in a container --cap-add NET_RAW", err)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("the system does not permit packet sockets (%w): in systemd RestrictAddressFamilies must have AF_PACKET", err)
	}
	return err
}

// Open implements engine.Opener. It makes the rings, and binds those whose interface is there.
func (in *input) Open(context.Context) error {
	if in.workers != nil {
		return nil
	}
	if err := in.Permitted(); err != nil {
		return &engine.ConfigError{Key: "uri", Msg: err.Error()}
	}
	var workers []*worker
	for _, name := range in.names {
		all := &shared{at: make([]int, in.settings.Meters)}
		for part := range in.settings.Meters {
			r, err := openRing(in.options.size, in.options.timeout)
			if err != nil {
				for _, w := range workers {
					w.ring.close()
				}
				return fmt.Errorf("flow://%s: %w", name, err)
			}
			workers = append(workers, in.newWorker(name, part, r, all))
		}
	}
	in.workers = workers
	for _, w := range workers {
		w.watch()
	}
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	var errs []error
	for _, w := range in.workers {
		errs = append(errs, w.ring.close())
		if w.meter != nil { // kept for another Run, which never came
			in.log.Warn("flows that were live are not reported: the program ended during a reload", "interface", w.name)
		}
	}
	if n := in.queue.left(); n > 0 {
		in.count.lost.Add(int64(n))
	}
	in.workers = nil
	return errors.Join(errs...)
}

// patience is how long the events of the last flows wait, when ctx has ended, for the pipeline to take one more of them.
const patience = 5 * time.Second

// Run implements engine.Input. When ctx ends the workers empty their rings and report all flows that are left, unless this
// input is handed over to another engine: then flows and rings are kept for the next Run.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	late, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var mu sync.Mutex
	var timer *time.Timer // set when ctx has ended
	progress := func() {
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Reset(patience)
		}
	}
	defer context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		timer = time.AfterFunc(patience, giveUp)
	})()
	in.queue.open()
	lost := in.count.lost.Load()
	var workers, sender sync.WaitGroup
	failures := make([]error, len(in.workers))
	broken, stop := context.WithCancel(ctx) // one ring that fails ends the others
	defer stop()
	sender.Go(func() { in.send(late, emit, progress) })
	for i, w := range in.workers {
		workers.Go(func() {
			if failures[i] = w.run(broken, late); failures[i] != nil {
				stop()
			}
		})
	}
	workers.Wait()
	in.queue.close()
	sender.Wait()
	mu.Lock()
	if timer != nil {
		timer.Stop()
	}
	mu.Unlock()
	if !engine.HandedOver(ctx, in) {
		in.count.lost.Add(int64(in.queue.left()))
		in.queue = newQueue(in.queue.most)
	}
	if n := in.count.lost.Load() - lost; n > 0 {
		in.log.Warn("events are lost: the pipeline did not take them before the end", "events", n)
	}
	return errors.Join(failures...)
}

// send hands the batches of the queue to the pipeline until the queue is closed and empty, or ctx is done.
func (in *input) send(ctx context.Context, emit engine.EmitFunc, progress func()) {
	origin := "flow://" + strings.Join(in.names, ",")
	for {
		records := in.queue.first(ctx)
		if records == nil || emit(ctx, engine.Batch{Origin: origin, Records: records}) != nil {
			return
		}
		in.queue.drop()
		progress()
	}
}

// tellLoss says, at most once a minute, that the kernel dropped frames, and what helps.
func (in *input) tellLoss(name string, dropped uint32) {
	const every = int64(time.Minute)
	now, last := time.Now().UnixNano(), in.lossTold.Load()
	if now-last < every || !in.lossTold.CompareAndSwap(last, now) {
		return
	}
	why := "the meters are slower than the traffic: raise meters, or leave out traffic with filter; for short bursts raise ring_size"
	if in.queue.left() > 0 {
		why = "the pipeline is slower than the events: raise workers of scripts, give a slow output a spool, make fewer events, or raise queue for short bursts"
	}
	in.log.Warn("the kernel drops packets, as the ring is full", "interface", name, "dropped", dropped, "in_all", in.count.dropped.Load(), "remedy", why)
}

// compile returns the program of one ring: its part of the frames, and the filter.
func (in *input) compile(part int, link packet.LinkType) ([]filter.Instruction, error) {
	p, err := filter.Compile(in.settings.Filter, link, filter.Kernel)
	if err != nil {
		return nil, err
	}
	code := append(share(part, in.settings.Meters, link), p.Instructions(in.options.snaplen)...)
	if len(code) > filter.MaxInstructions {
		return nil, fmt.Errorf("filter: too long by %d instructions: join addresses to networks", len(code)-filter.MaxInstructions)
	}
	return code, nil
}
