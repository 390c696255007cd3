package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// What packets cost: `dragonfly flows` beside softflowd, nfpcapd and Suricata on the same capture, in turn.

const (
	mixedPackets = 1_000_000
	newFlows     = 1_000_000 // of 4 packets each
)

// meter is a program that makes flows of a capture.
type meter struct {
	name string
	args func(dir, capture string) []string
	only string // the capture that it is run on; both if empty
}

var meters = []meter{
	{name: "dragonfly, flows alone", args: func(_, c string) []string { return []string{"", "flows", "-q", "--json", "--no-app", c} }},
	{name: "dragonfly, flows with app_proto", args: func(_, c string) []string { return []string{"", "flows", "-q", "--json", "--events", "flow", c} }},
	{name: "dragonfly, flows with DNS, TLS, HTTP, QUIC, SSH", args: func(_, c string) []string { return []string{"", "flows", "-q", "--json", c} }},
	{name: "softflowd", args: func(dir, c string) []string {
		// Without a control socket: softflowd 1.1.0 sometimes waits for somebody to talk to it there.
		return []string{"softflowd", "-r", c, "-n", "127.0.0.1:9", "-6", "-m", "2000000", "-c", "none", "-p", filepath.Join(dir, "pid")}
	}},
	{name: "nfpcapd", args: func(dir, c string) []string { return []string{"nfpcapd", "-r", c, "-w", filepath.Join(dir, "nf")} }},
	{name: "Suricata, flow events only", only: "mixed", args: func(dir, c string) []string {
		return []string{"suricata", "-c", filepath.Join(dir, "suricata.yaml"), "-r", c, "-l", filepath.Join(dir, "nf"), "-S", "/dev/null", "--runmode", "single", "-k", "none"}
	}},
}

// suricataFlow is a configuration that logs flows only.
const suricataFlow = `%YAML 1.1
---
outputs:
  - eve-log: { enabled: yes, filetype: regular, filename: eve.json, community-id: true, types: [ flow ] }
flow: { memcap: 1gb, hash-size: 65536, prealloc: 10000 }
`

func packetBench(report *strings.Builder, dir, bin string) error {
	captures := []struct {
		name    string
		packets int
		write   func(path string) (int, error)
	}{
		{"mixed", mixedPackets, func(path string) (int, error) { return mixedCapture(path, mixedPackets) }},
		{"new flows", 4 * newFlows, func(path string) (int, error) { return 4 * newFlows, manyFlows(path, newFlows) }},
	}
	if err := os.WriteFile(filepath.Join(dir, "suricata.yaml"), []byte(suricataFlow), 0o644); err != nil {
		return err
	}
	report.WriteString("\n## Packets into flows\n\nCaptures read from memory (the file is warm) to flow records; CPU is user and system time of the whole process. " +
		"Dragonfly writes EVE flow events to /dev/null, softflowd sends NetFlow to a port that nobody listens on, nfpcapd and Suricata write files. " +
		"\"mixed\" are the captures of the tests in turn, each time with other addresses; \"new flows\" is one flow in four packets, " +
		"a million of them. Ratios are of CPU, round by round, that program / dragonfly with flows alone.\n\n" +
		"| capture | program | packets | CPU s | packets per CPU second | peak memory MB | against dragonfly (min - max) |\n|---|---|---|---|---|---|---|\n")
	for _, c := range captures {
		path := filepath.Join(dir, "bench.pcap")
		n, err := c.write(path)
		if err != nil {
			return err
		}
		if _, err := runMeter(dir, bin, path, meters[0]); err != nil { // the file is on its way to the disk until here
			return fmt.Errorf("%s: %w", meters[0].name, err)
		}
		all := make([][]figures, len(meters))
		for range *rounds {
			for i, m := range meters {
				if m.only != "" && m.only != c.name {
					continue
				}
				f, err := runMeter(dir, bin, path, m)
				if err != nil {
					return fmt.Errorf("%s: %w", m.name, err)
				}
				if f.wall > 0 {
					all[i] = append(all[i], f)
				}
			}
		}
		for i, m := range meters {
			if len(all[i]) == 0 {
				continue
			}
			against := ""
			if i > 0 {
				ratio, low, high := ratios(all[i], all[0], func(f figures) float64 { return f.cpu.Seconds() })
				against = fmt.Sprintf("**%.2f** (%.2f - %.2f)", ratio, low, high)
			}
			cpu := median(all[i], func(f figures) float64 { return f.cpu.Seconds() })
			fmt.Fprintf(report, "| %s | %s | %d | %.2f | %.0f | %.0f | %s |\n", c.name, m.name, n, cpu, float64(n)/cpu,
				median(all[i], func(f figures) float64 { return float64(f.rss) / 1024 }), against)
		}
		os.Remove(path)
	}
	return nil
}

// meterTimeout is how long a meter may need for a capture. Dragonfly needs a second, Suricata less than a minute.
const meterTimeout = 5 * time.Minute

// runMeter runs m on a capture; the zero figures where the program is not installed.
func runMeter(dir, bin, capture string, m meter) (figures, error) {
	args := m.args(dir, capture)
	if args[0] == "" {
		args[0] = bin
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return figures{}, nil
	}
	out := filepath.Join(dir, "nf")
	os.RemoveAll(out)
	if err := os.MkdirAll(out, 0o777); err != nil {
		return figures{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), meterTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var text strings.Builder
	cmd.Stderr = &text
	f, err := timed(cmd)
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, text.String())
	}
	return f, nil
}

// writer writes a capture in pcap format, Ethernet, microseconds.
type writer struct {
	*bufio.Writer
	file *os.File
}

func newWriter(path string) (*writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &writer{bufio.NewWriterSize(f, 1<<20), f}
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, 1<<18)
	w.Write(binary.LittleEndian.AppendUint32(head, 1))
	return w, nil
}

// frame appends one frame, at a time in nanoseconds.
func (w *writer) frame(time int64, data []byte) {
	var head [16]byte
	binary.LittleEndian.PutUint32(head[:], uint32(time/1e9))
	binary.LittleEndian.PutUint32(head[4:], uint32(time%1e9/1000))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(data)))
	binary.LittleEndian.PutUint32(head[12:], uint32(len(data)))
	w.Write(head[:])
	w.Write(data)
}

func (w *writer) close() error {
	return errors.Join(w.Flush(), w.file.Sync(), w.file.Close())
}

// mixed are the captures that mixedCapture takes: ordinary protocols, some with tags. Those of others' are read where they are.
var mixed = []string{"own-proto", "own-many", "own-http4", "own-rst", "own-vlan-two", "own-mpls", "own-icmp", "sv-dns-udp", "sv-tls", "sv-quic", "sv-dhcp", "sv-ntp", "sv-snmp"}

// mixedCapture writes at least n packets: these captures one after the other, again and again, each time with other IPv4
// addresses and later.
func mixedCapture(path string, n int) (int, error) {
	var frames []packet.Frame
	for _, name := range mixed {
		at := filepath.Join("test/data/pcap", name+".pcap")
		if _, err := os.Stat(at); err != nil {
			at = filepath.Join("../shared/data/reference/flows", name+".pcap")
		}
		list, err := readCapture(at)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return 0, fmt.Errorf("%s: %w", at, err)
		}
		frames = append(frames, list...)
	}
	if len(frames) == 0 {
		return 0, fmt.Errorf("no captures in test/data/pcap")
	}
	w, err := newWriter(path)
	if err != nil {
		return 0, err
	}
	count, now := 0, int64(1.7e18)
	for turn := byte(1); count < n; turn++ {
		last := int64(0)
		for _, f := range frames {
			if gap := f.Time - last; last != 0 && gap > 0 && gap < 1e7 {
				now += gap
			} else {
				now += 1e4
			}
			last = f.Time
			data := f.Data
			if data[12] == 8 && data[13] == 0 && data[14]>>4 == 4 && len(data) >= 34 {
				data = slices.Clone(data)
				data[28] ^= turn
				data[32] ^= turn
			}
			w.frame(now, data)
			count++
		}
	}
	return count, w.close()
}

// readCapture returns the frames of a capture of Ethernet.
func readCapture(path string) ([]packet.Frame, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := pcap.New(f)
	if err != nil {
		return nil, err
	}
	var list []packet.Frame
	for {
		var fr packet.Frame
		if err := r.Next(&fr); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		if fr.LinkType != 1 || len(fr.Data) < 14 {
			return nil, fmt.Errorf("%s is not Ethernet", path)
		}
		fr.Data = slices.Clone(fr.Data)
		list = append(list, fr)
	}
}

// manyFlows writes n TCP flows of 4 packets each: SYN, SYN+ACK, ACK, RST; 1,000 are open at a time.
func manyFlows(path string, n int) error {
	w, err := newWriter(path)
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const open = 1000
	now := int64(1.7e18)
	frame := make([]byte, 60)
	frame[12], frame[14], frame[17], frame[22], frame[23], frame[46] = 8, 0x45, 40, 64, packet.TCP, 0x50
	flags := []byte{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.RST | packet.ACK}
	var order [open]int
	for at := 0; at < n; at += open {
		for step, flag := range flags {
			for i := range order {
				order[i] = i
			}
			rng.Shuffle(open, func(i, j int) { order[i], order[j] = order[j], order[i] })
			for _, i := range order {
				id := uint32(at + i)
				client, server := 10<<24|id>>2, uint32(192<<24|168<<16|id%251)
				cport, sport := uint16(1024+id%4), uint16(443)
				seq, ack := uint32(step+1)/2+1000, uint32(0)
				if step > 0 {
					ack = 1001
				}
				if step == 1 {
					client, server, cport, sport, seq = server, client, sport, cport, 1000
				}
				binary.BigEndian.PutUint32(frame[26:], client)
				binary.BigEndian.PutUint32(frame[30:], server)
				binary.BigEndian.PutUint16(frame[34:], cport)
				binary.BigEndian.PutUint16(frame[36:], sport)
				binary.BigEndian.PutUint32(frame[38:], seq)
				binary.BigEndian.PutUint32(frame[42:], ack)
				frame[47] = flag
				now += 2000
				w.frame(now, frame)
			}
		}
	}
	return w.close()
}
