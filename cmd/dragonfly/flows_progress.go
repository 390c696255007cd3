package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	inpcap "dragonfly/engine/input/pcap"
)

// progressBar shows on a terminal how far a pass is.
type progressBar struct {
	w       io.Writer
	pass    *inpcap.Pass
	total   int64 // bytes; 0 is unknown
	started time.Time
	end     chan struct{} // closed by stop
	wg      sync.WaitGroup
}

// startProgress begins to show; the first line comes after a moment, so that short captures are quiet.
func startProgress(w io.Writer, pass *inpcap.Pass, sources []inpcap.Source) *progressBar {
	b := &progressBar{w: w, pass: pass, started: time.Now(), end: make(chan struct{})}
	for _, s := range sources {
		f, ok := s.Reader.(*os.File)
		if !ok {
			b.total = 0
			break
		}
		if info, err := f.Stat(); err == nil {
			b.total += info.Size()
		}
	}
	b.wg.Go(b.run)
	return b
}

func (b *progressBar) run() {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	shown := 0
	for {
		select {
		case <-b.end:
			if shown > 0 {
				fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", shown))
			}
			return
		case <-tick.C:
			line := cut(b.line(time.Since(b.started)), terminalWidth(b.w)-1)
			fmt.Fprintf(b.w, "\r%-*s", shown, line)
			shown = utf8.RuneCountInString(line)
		}
	}
}

func (b *progressBar) line(took time.Duration) string {
	s, read := b.pass.Progress.Summary(), b.pass.Progress.Read()
	rate := float64(s.Frames) / took.Seconds()
	about := fmt.Sprintf("%s frames, %s/s, %s flows", amount(s.Frames), amount(uint64(rate)), amount(s.Flows.Flows))
	if b.total == 0 {
		return amount(uint64(read)) + "B  " + about
	}
	const width = 20
	part := min(1, float64(read)/float64(b.total))
	done := int(part * width)
	return fmt.Sprintf("[%s%s] %3d%% of %sB  %s", strings.Repeat("=", done), strings.Repeat(" ", width-done), int(100*part), amount(uint64(b.total)), about)
}

// stop removes the line. A nil bar is none.
func (b *progressBar) stop() {
	if b != nil {
		close(b.end)
		b.wg.Wait()
	}
}

// notProblems are counters of the decoder that are neither frames without IP ("other.") nor malformed.
var notProblems = []string{"packets", "malformed", "ipv4.fragments", "ipv6.fragments", "ipv4.reassembled", "ipv6.reassembled", "ipv4.frag_overlap", "ipv6.frag_overlap", "ipv6.exthdr_useless_fh"}

// printSummary says what a pass has seen.
func printSummary(w io.Writer, s *inpcap.Summary) {
	fmt.Fprintf(w, "%d frames, %d packets, %d flows", s.Frames, s.Packets, s.Flows.Flows)
	if s.Frames > 0 {
		first, last := time.Unix(0, s.First).UTC(), time.Unix(0, s.Last).UTC()
		fmt.Fprintf(w, ", %s to %s (%s)", first.Format("2006-01-02 15:04:05.000"), last.Format("2006-01-02 15:04:05.000"), lasting(last.Sub(first)))
	}
	fmt.Fprintln(w)
	var other, malformed []string
	for _, c := range s.Decoder {
		kind, isOther := strings.CutPrefix(c.Name, "other.")
		text := fmt.Sprintf("%s %d", kind, c.Count)
		switch {
		case c.Count == 0 || strings.HasPrefix(c.Name, "frames") || slices.Contains(notProblems, c.Name):
		case strings.HasPrefix(c.Name, "fragments.") || strings.HasPrefix(c.Name, "datagrams."):
		case isOther:
			other = append(other, text)
		default:
			malformed = append(malformed, text)
		}
	}
	list := func(what string, kinds []string) {
		if len(kinds) > 0 {
			fmt.Fprintf(w, "%s: %s\n", what, strings.Join(kinds, ", "))
		}
	}
	list("not IP", other)
	list("malformed", malformed)
	count := func(what string, n uint64) {
		if n > 0 {
			fmt.Fprintf(w, "%s: %d\n", what, n)
		}
	}
	for _, c := range s.Decoder {
		if c.Name == "fragments.held" || c.Name == "fragments.lost" {
			count("fragments of packets that never became whole", c.Count)
		}
	}
	count("packets of protocols without flows", s.Flows.OtherProtocol)
	count("ICMP errors about unknown flows", s.Flows.ICMPErrors)
	count("flows reported early because the table was full", s.Flows.EndedEvicted)
	count("lost when the capture was made", s.Dropped)
}
