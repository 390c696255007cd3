package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What it costs that nothing is lost: the same work with checkpoints off, on, and with scripts that keep state; and what a
// script that never returns costs its neighbours.

// safetyTimes is how often the events are read, so that it takes a while.
const safetyTimes = 4

// safetyBench runs the variants in turn, as many rounds as the others.
func safetyBench(report *strings.Builder, dir, bin, input string, n int) error {
	counter := "\nstate.n = (state.n or 0) + 1\nstate.types = state.types or {}\nstate.types[e.event_type] = (state.types[e.event_type] or 0) + 1\n"
	report.WriteString("\n## What safety costs\n\nThe same events and scripts, one worker, several seconds and so several checkpoints; CPU and time are of the whole process, " +
		"ratios pair by pair (more than 1: slower than without).\n\n| workload | checkpoints | CPU us/event | events/s | CPU against off (min - max) | time against off |\n|---|---|---|---|---|---|\n")
	for _, w := range []workload{workloads[1], workloads[2]} {
		variants := []struct {
			name, options string
			body          string
		}{
			{"off: nothing is remembered", "checkpoint = false, ", w.analyzers[0]},
			{"on: saved every second when acked", "checkpoint = true, ", w.analyzers[0]},
			{"on, and the analyzer counts in a global", "checkpoint = true, ", "state = state or {}" + counter + w.analyzers[0]},
			{"on, and the analyzer counts in `state`", "checkpoint = true, ", counter + w.analyzers[0]},
		}
		variants[2].body = strings.ReplaceAll(variants[2].body, "state", "own")
		all := make([][]figures, len(variants))
		for range *rounds {
			for i, v := range variants {
				f, err := dragonflyWith(dir, bin, input, workload{filter: w.filter, analyzers: []string{v.body}}, 1, v.options)
				if err != nil {
					return err
				}
				all[i] = append(all[i], f)
			}
		}
		for i, v := range variants {
			cpu, low, high := ratios(all[i], all[0], func(f figures) float64 { return f.cpu.Seconds() })
			wall, _, _ := ratios(all[i], all[0], func(f figures) float64 { return f.wall.Seconds() })
			fmt.Fprintf(report, "| %s | %s | %.2f | %.0f | **%.3f** (%.3f - %.3f) | %.3f |\n", w.letter, v.name,
				median(all[i], func(f figures) float64 { return f.cpu.Seconds() * 1e6 / float64(n) }),
				float64(n)/median(all[i], func(f figures) float64 { return f.wall.Seconds() }), cpu, low, high, wall)
		}
	}
	return nil
}

// neighbourBench compares the throughput of a compute-bound analyzer alone, beside one that passes everything on, and
// beside one that never returns.
func neighbourBench(report *strings.Builder, dir, bin, input string, n int) error {
	const both = "dragonfly.analyze_event('a1', e) dragonfly.analyze_event('a2', e)"
	work := strings.Replace(compute, "400", "1200", 1) + "\ndragonfly.output_event(default_output, e) do return end"
	quiet := workload{filter: both, analyzers: []string{work, "do return end"}}
	hung := workload{filter: both, analyzers: []string{work, "while true do end"}}
	var a, b []figures
	for range 2 {
		f, err := dragonflyWith(dir, bin, input, quiet, 1, "")
		if err != nil {
			return err
		}
		a = append(a, f)
		if f, err = dragonflyWith(dir, bin, input, hung, 1, anyLedger); err != nil {
			return err
		}
		b = append(b, f)
	}
	ratio, low, high := ratios(a, b, func(f figures) float64 { return f.wall.Seconds() })
	wall := median(a, func(f figures) float64 { return f.wall.Seconds() })
	fmt.Fprintf(report, "\nAn analyzer beside one with `while true do end` (script_timeout 1 s, breaker as it is by default) has **%.1f %%** (%.1f - %.1f) of the throughput that it has beside "+
		"one that does nothing, over %.0f s and %d events (wanted: 90 %%).\n", 100*ratio, 100*low, 100*high, wall, n)
	return nil
}

// ratios returns the median, least and largest ratio of pairs.
func ratios(list, to []figures, f func(figures) float64) (mid, low, high float64) {
	pairs := make([]figures, len(list))
	value := map[int]float64{}
	for i := range list {
		pairs[i].allocs = int64(i)
		value[i] = f(list[i]) / f(to[i])
	}
	of := func(p figures) float64 { return value[int(p.allocs)] }
	low, high = value[0], value[0]
	for _, v := range value {
		low, high = min(low, v), max(high, v)
	}
	return median(pairs, of), low, high
}

// repeat writes the input times times into one file.
func repeat(dir, input string, times int) (string, error) {
	path := filepath.Join(dir, "long.json")
	text, err := os.ReadFile(input)
	if err != nil {
		return "", err
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	for range times {
		if _, err := f.Write(text); err != nil {
			return "", err
		}
	}
	return path, f.Close()
}
