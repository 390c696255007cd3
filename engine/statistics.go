package engine

// InputStatistics is what one input has counted since the process began.
type InputStatistics struct {
	Tag      string
	Account  Account
	Counters []Count // made with Params.Counter, in the order of their making; they outlive reloads
}

// Count is the value of a counter by its name, such as "frames_total".
type Count struct {
	Name string
	N    int64
}

// Statistics returns the statistics of the inputs, in the order of their rows, for scripts. Safe for all goroutines; what
// is counted meanwhile may be in some of the numbers and not yet in others.
func (e *Engine) Statistics() []InputStatistics {
	counters := e.parts.Counters.all()
	list := make([]InputStatistics, len(e.cfg.Inputs))
	for i, row := range e.cfg.Inputs {
		in := InputStatistics{Tag: row.Tag, Account: e.books[i].account()}
		for _, c := range counters {
			if c.kind == "input" && c.tag == row.Tag {
				in.Counters = append(in.Counters, Count{c.name, c.n.Load()})
			}
		}
		list[i] = in
	}
	return list
}
