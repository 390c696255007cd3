package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// javaMember is test/kafka/Member.java, which runs.
type javaMember struct {
	mu   sync.Mutex
	text bytes.Buffer
	stop func() // it leaves the group
}

func (m *javaMember) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

// said returns what follows word on the lines that begin with it.
func (m *javaMember) said(word string) (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for line := range strings.Lines(m.text.String()) {
		if rest, ok := strings.CutPrefix(line, word+" "); ok && strings.HasSuffix(rest, "\n") {
			list = append(list, strings.TrimSpace(rest))
		}
	}
	return list
}

// log returns all that it said but what it read.
func (m *javaMember) log() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var text strings.Builder
	for line := range strings.Lines(m.text.String()) {
		if !strings.HasPrefix(line, "read ") {
			text.WriteString(line)
		}
	}
	return text.String()
}

// owns is how many partitions it has.
func (m *javaMember) owns() int { return len(m.said("assigned")) - len(m.said("revoked")) }

func (b *broker) javaMember(group, topic string) *javaMember {
	b.t.Helper()
	source, err := filepath.Abs("../kafka/Member.java")
	if err != nil {
		b.t.Fatal(err)
	}
	m := &javaMember{}
	cmd := b.java(source, b.address, group, topic)
	cmd.Stdout, cmd.Stderr = m, m
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	m.stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
		defer late.Stop()
		cmd.Wait()
	})
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		m.stop()
	})
	return m
}

// TestKafkaMixedGroup: members that are ours and one that is Java's share a group, first led by Java's, then by one of ours. Partitions
// move one by one, and nothing is missing or read twice.
func TestKafkaMixedGroup(t *testing.T) {
	const partitions = 6
	b := startKafka(t)
	b.topic("in", partitions)
	b.topic("out", 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	acked, ended := b.produce(ctx, "in")
	more := func() {
		t.Helper()
		from := acked.Load()
		b.wait("the producer", func() bool { return acked.Load() >= from+400 })
	}
	var ours []*process
	java := b.javaMember("g", "in")
	defer func() {
		if t.Failed() {
			for _, p := range ours {
				t.Log(p.text())
			}
			t.Logf("Java:\n%s", java.log())
		}
	}()
	join := func() {
		t.Helper()
		p := kafkaRoot(t, b, "g").start()
		ours = append(ours, p)
		b.wait("a member", func() bool { return strings.Contains(p.text(), "joined the group") })
	}
	b.wait("Java's partitions", func() bool { return java.owns() == partitions })
	join()
	b.wait("half of them for us", func() bool { return java.owns() == partitions/2 })
	more()
	join()
	b.wait("a third for each", func() bool { return java.owns() == partitions/3 })
	more()
	if taken, given := len(java.said("revoked")), len(java.said("assigned")); taken != 4 || given != partitions {
		t.Errorf("Java's member gave %d partitions away and took %d, want 4 and %d: one by one", taken, given, partitions)
	}
	first := java
	first.stop()
	read := first.said("read")
	if text := first.log(); strings.Contains(text, "Exception") {
		t.Fatalf("Java's member:\n%s", text)
	}
	more()
	java = b.javaMember("g", "in") // now one of ours leads
	b.wait("a third for the new one", func() bool { return java.owns() == partitions/3 })
	more()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	in := b.arrived("in")
	// who returns of each record who had it: J and j Java's members, o one of ours.
	who := func() map[keyed]string {
		all := map[keyed]string{}
		for member, list := range map[string][]string{"J": read, "j": java.said("read")} {
			for _, text := range list {
				var e keyed
				if err := json.Unmarshal([]byte(text), &e); err != nil {
					t.Fatal(text, err)
				}
				all[e] += member
			}
		}
		for k, each := range b.arrived("out").keys {
			for n, times := range each {
				all[keyed{k, n}] += strings.Repeat("o", times)
			}
		}
		return all
	}
	b.wait("all records", func() bool { return len(who()) >= in.distinct })
	for _, p := range ours {
		p.stop()
	}
	java.stop()
	counts := map[string]int{}
	for _, w := range who() {
		counts[w]++
	}
	t.Logf("%d records; who had them: %v; Java's commits that were refused: %d", in.records, counts, len(first.said("refused"))+len(java.said("refused")))
	if in.records != in.distinct {
		t.Fatalf("the producer wrote %d records twice", in.records-in.distinct)
	}
	// Kafka refuses Java's commit when it comes while the group is being spread anew; then what Java read comes again.
	refused := len(first.said("refused")) > 0
	for w, n := range counts {
		if len(w) > 1 && (w != "Jo" || !refused) {
			t.Errorf("%d records were read by %q, want one reader each", n, w)
		}
	}
	if len(who()) != in.distinct {
		t.Errorf("%d different records, want %d", len(who()), in.distinct)
	}
}
