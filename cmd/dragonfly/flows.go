package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"dragonfly/engine"
	inpcap "dragonfly/engine/input/pcap"
)

const flowsVerb = "flows"

const flowsUsage = `Usage: dragonfly flows [flags] FILE...

Meters captures (pcap, pcapng; also packed with gzip or zstd) and prints their flows, a row each. Several files are metered
as one, in the order of their first frames. The file - is standard input:  tcpdump -U -w - | dragonfly flows -

  --sort KEY       start (default), bytes, packets or duration; the last three with the greatest first
  -n N             only the first N rows
  --filter EXPR    only packets that match, in the language of tcpdump:  --filter 'host 10.1.2.3 and not port 22'
  --json           EVE events instead, one a line, as they are completed
  --events LIST    with --json: only these of flow,dns,http,tls,quic,ssh
  --no-app         do not look at payloads: flows only, without their protocols, at half the cost
  --features KIND  with --json: statistical features in flow events: nfstream or cic
  --meters N       flow tables side by side, for captures of many gigabytes (default 1)
  -q               no summary, no progress

On a terminal the rows are as wide as it is; what does not fit is left out. Times are UTC. Timeouts are Suricata's; a pcap:// input has
options for them.
Exit status: 0 all was metered, 1 failure, or a capture is damaged: what could be read was metered, 2 usage.
`

// flowsFlags is the command line behind "flows".
type flowsFlags struct {
	files    []string
	sort     string
	rows     int // 0 is all
	json     bool
	events   string
	features string
	filter   string
	meters   int
	noApp    bool
	quiet    bool
}

func parseFlowsFlags(args []string) (f flowsFlags, err error) {
	fs := flag.NewFlagSet(flowsVerb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&f.sort, "sort", "start", "")
	fs.IntVar(&f.rows, "n", 0, "")
	fs.BoolVar(&f.json, "json", false, "")
	fs.StringVar(&f.events, "events", "", "")
	fs.StringVar(&f.features, "features", "", "")
	fs.StringVar(&f.filter, "filter", "", "")
	fs.IntVar(&f.meters, "meters", 1, "")
	fs.BoolVar(&f.noApp, "no-app", false, "")
	fs.BoolVar(&f.quiet, "q", false, "")
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return f, errHelp
			}
			return f, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			break
		}
		if at := len(args) - len(rest); at > 0 && args[at-1] == "--" {
			f.files = append(f.files, rest...)
			break
		}
		f.files = append(f.files, rest[0])
		args = rest[1:]
	}
	set := map[string]bool{}
	fs.Visit(func(g *flag.Flag) { set[g.Name] = true })
	switch {
	case len(f.files) == 0:
		return f, errors.New("no capture is named")
	case orders[f.sort] == nil:
		return f, fmt.Errorf("--sort %q: want start, bytes, packets or duration", f.sort)
	case f.rows < 0:
		return f, errors.New("-n wants a number from 1")
	case f.meters < 1 || f.meters > 256:
		return f, errors.New("--meters wants a number from 1 to 256")
	case f.features != "" && f.features != "nfstream" && f.features != "cic":
		return f, fmt.Errorf("--features %q: want nfstream or cic", f.features)
	case f.json && (set["sort"] || set["n"]):
		return f, errors.New("--sort and -n are for rows, not for --json: its events come as they are completed")
	case !f.json && (set["events"] || set["features"]):
		return f, errors.New("--events and --features want --json")
	}
	return f, nil
}

// options returns what a pcap:// row would have.
func (f *flowsFlags) options() engine.Values {
	v := engine.Values{"features": f.features, "filter": f.filter, "meters": int64(f.meters), "app": !f.noApp}
	if f.events != "" {
		v["events"] = strings.FieldsFunc(f.events, func(c rune) bool { return c == ',' || c == ' ' })
	}
	return v
}

// flowsCommand runs `dragonfly flows` and returns its exit code.
func flowsCommand(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlowsFlags(args)
	if errors.Is(err, errHelp) {
		fmt.Fprint(stdout, flowsUsage)
		return exitOK
	}
	var pass *inpcap.Pass
	if err == nil {
		pass, err = inpcap.NewPass(f.options())
	}
	if err != nil {
		var ce *engine.ConfigError
		if errors.As(err, &ce) {
			err = fmt.Errorf("--%s %s", ce.Key, ce.Msg)
		}
		fmt.Fprintf(stderr, "dragonfly: flows: %v\n`dragonfly flows -h` has more.\n", err)
		return exitUsage
	}
	sources, err := openCaptures(f.files)
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	if err != nil {
		return reportFlows(stderr, err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := bufio.NewWriterSize(stdout, 64<<10)
	var sink flowSink = &eventLines{w: out}
	if !f.json {
		sink = newFlowRows(f.sort, f.rows)
	}
	var bar *progressBar
	if !f.quiet && terminalWidth(stderr) > 0 && !(f.json && terminalWidth(stdout) > 0) {
		bar = startProgress(stderr, pass, sources)
	}
	err = pass.Run(ctx, sources, sink)
	bar.stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	errs := []error{err, sink.finish(out, terminalWidth(stdout)), out.Flush()}
	if !f.quiet {
		about := stdout
		if f.json {
			about = stderr
		}
		sum := pass.Progress.Summary()
		printSummary(about, &sum)
	}
	return reportFlows(stderr, errors.Join(errs...))
}

// reportFlows prints each of the errors in err on a line.
func reportFlows(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	for _, e := range flatten(err) {
		fmt.Fprintln(w, "dragonfly: flows:", e)
	}
	return exitFailure
}

// flowSink takes the events of a pass and prints what is left to print at its end. width is the terminal's, 0 for none.
type flowSink interface {
	inpcap.Sink
	finish(w io.Writer, width int) error
}

// openCaptures opens files and puts them into the order of their first frames. What it opened is returned with an error too.
func openCaptures(files []string) (sources []inpcap.Source, err error) {
	seen := map[string]bool{}
	var errs []error
	for _, name := range files {
		if seen[name] {
			errs = append(errs, fmt.Errorf("%s is named twice", name))
			continue
		}
		seen[name] = true
		if name == "-" {
			sources = append(sources, inpcap.Stream("-", os.Stdin))
			continue
		}
		s, err := inpcap.Open(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, s)
	}
	inpcap.Sort(sources)
	return sources, errors.Join(errs...)
}

// eventLines prints events as they come.
type eventLines struct{ w *bufio.Writer }

func (*eventLines) Begin(int) error { return nil }

func (l *eventLines) Event(event []byte) error {
	l.w.Write(event)
	return l.w.WriteByte('\n')
}

func (l *eventLines) Pause() error                { return l.w.Flush() }
func (l *eventLines) finish(io.Writer, int) error { return nil }
