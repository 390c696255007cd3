package engine

// port is the way into one queue: a shard of a stage, or an output.
type port struct {
	queue *queue
	sink  *sink // nil for a shard
}

// dest is what a Route leads to.
type dest struct {
	first  int    // of its ports
	shards int    // 1 for outputs
	by     *keyer // nil spreads events evenly
	stage  *stage // nil for outputs
	sink   *sink  // nil for stages
}

// outbox collects what one goroutine sends, per port, and sends it on in batches.
type outbox struct {
	e       *Engine
	bufs    [][]Event // by port
	touched []int     // ports with events
	turn    []int     // by route: next shard of an even spread
	keys    keyScratch
}

func (e *Engine) newOutbox() *outbox {
	return &outbox{e: e, bufs: make([][]Event, len(e.ports)), turn: make([]int, len(e.dests))}
}

// add takes ev for route.
func (o *outbox) add(route Route, ev Event) {
	d := &o.e.dests[route]
	p := d.first
	if d.shards > 1 {
		if part := ev.rec.batch.part; part != nil && d.stage.keepsState.Load() {
			p += int(part.hash % uint64(d.shards))
		} else if d.by != nil {
			p += int(d.by.hash(&ev, &o.keys) % uint64(d.shards))
		} else {
			p += o.turn[route] % d.shards
		}
	}
	o.put(p, ev)
}

// pass takes ev for one shard of a stage.
func (o *outbox) pass(route Route, shard int, ev Event) { o.put(o.e.dests[route].first+shard, ev) }

func (o *outbox) put(p int, ev Event) {
	if len(o.bufs[p]) == 0 {
		o.touched = append(o.touched, p)
	}
	o.bufs[p] = append(o.bufs[p], ev)
}

// flush sends everything on. An even spread goes to the next shard from now on.
func (o *outbox) flush() {
	if len(o.touched) == 0 {
		return
	}
	g := o.e.gate
	for _, p := range o.touched {
		buf := o.bufs[p]
		var bytes int64
		for i := range buf {
			bytes += int64(len(buf[i].Body))
		}
		g.queued.Add(int64(len(buf)))
		g.queuedB.Add(bytes)
		if s := o.e.ports[p].sink; s != nil {
			g.writing.Add(int64(len(buf)))
		}
		o.e.ports[p].queue.push(buf)
		o.bufs[p] = recycle(buf)
	}
	o.touched = o.touched[:0]
	for i := range o.turn {
		o.turn[i]++
	}
}
