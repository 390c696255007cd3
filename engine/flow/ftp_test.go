package flow

import (
	"fmt"
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// dialog plays a TCP session between two ends.
type dialog struct {
	b            *bench
	at           float64
	a, z         byte
	aport, zport uint16
	next         [2]uint32
}

func (d *dialog) send(fromServer bool, flags uint8, text string) {
	from, to, sport, dport, me := d.a, d.z, d.aport, d.zport, 0
	if fromServer {
		from, to, sport, dport, me = d.z, d.a, d.zport, d.aport, 1
	}
	p := udp(d.at, from, to)
	p.Proto, p.SrcPort, p.DstPort, p.TCPFlags, p.Window = packet.TCP, sport, dport, flags, 8000
	p.Seq, p.Payload, p.PayloadLen = d.next[me], []byte(text), uint32(len(text))
	if flags&ack != 0 {
		p.Ack = d.next[1-me]
	}
	d.next[me] += uint32(len(text))
	if flags&syn != 0 {
		d.next[me]++
	}
	d.b.Packet(p)
	d.at += 0.001
}

func (b *bench) dial(at float64, a byte, aport uint16, z byte, zport uint16) *dialog {
	d := &dialog{b: b, at: at, a: a, z: z, aport: aport, zport: zport, next: [2]uint32{100, 500}}
	d.send(false, syn, "")
	d.send(true, syn|ack, "")
	d.send(false, ack, "")
	return d
}

// login opens a control connection.
func (b *bench) login(at float64) *dialog {
	d := b.dial(at, 1, 1000, 2, 21)
	for _, line := range []string{"<220 hello", ">USER me", "<331 password", ">PASS secret", "<230 in", ">TYPE I", "<200 binary"} {
		d.line(line)
	}
	if e := b.table.at(1); e.side == 0 { // no such detection in package app
		e.protocols[0] = b.name("ftp")
	}
	return d
}

func (d *dialog) line(s string) {
	d.send(s[0] == '<', ack|packet.PSH, s[1:]+"\r\n")
	d.send(s[0] != '<', ack, "")
}

func TestTransfersOfFTP(t *testing.T) {
	for _, v := range []struct {
		name     string
		lines    []string
		toClient bool   // the server sends
		active   bool   // the server connects
		want     string // app_proto
	}{
		{"passive, down", []string{">PASV", "<227 Entering Passive Mode (10,0,0,2,31,144).", ">RETR file"}, true, false, "ftp-data"},
		{"passive, up", []string{">pasv", "<227 ok (10,0,0,2,31,144)", ">stor file"}, false, false, "ftp-data"},
		{"extended passive", []string{">EPSV", "<229 Entering Extended Passive Mode (|||8080|)", ">RETR file"}, true, false, "ftp-data"},
		{"active, down", []string{">PORT 10,0,0,1,31,144", "<200 ok", ">RETR file"}, true, true, "ftp-data"},
		{"active, up", []string{">EPRT |1|10.0.0.1|8080|", "<200 ok", ">STOR file"}, false, true, "ftp-data"},
		{"another port", []string{">PASV", "<227 ok (10,0,0,2,31,145)", ">RETR file"}, true, false, ""},
		{"the other direction", []string{">PASV", "<227 ok (10,0,0,2,31,144)", ">RETR file"}, false, false, ""},
		{"not asked for", []string{"<227 ok (10,0,0,2,31,144)", ">RETR file"}, true, false, ""},
		{"no port", []string{">PASV", "<227 ok (10,0,0,2,31,1440)", ">EPSV", "<229 (|||99999|)", ">PORT 1,2,3", "<200 ok", ">EPRT ||", "<200", ">RETR file"}, true, false, ""},
		{"no file", []string{">PASV", "<227 ok (10,0,0,2,31,144)", ">RETR"}, true, false, ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := newBench(t, Config{})
			c := b.login(1)
			for _, line := range v.lines {
				c.line(line)
			}
			data := &dialog{}
			if v.active {
				data = b.dial(2, 2, 20, 1, 8080)
			} else {
				data = b.dial(2, 1, 5000, 2, 8080)
			}
			data.send(v.toClient != v.active, ack, "\x01\x02 nothing known \x03")
			b.Close()
			if len(b.events) != 2 {
				t.Fatal(strings.Join(b.lines, "\n"))
			}
			got := strings.Trim(b.events[1].text("app_proto"), `"`)
			if got == "failed" {
				got = ""
			}
			parent := ""
			if v.want != "" {
				parent = b.events[0].text("flow_id")
			}
			if got != v.want || b.events[1].text("parent_id") != parent {
				t.Errorf("app_proto %s, parent_id %s, want %s, %s", got, b.events[1].text("parent_id"), v.want, parent)
			}
			if x := &b.transfers; x.count != 0 || len(x.controls)+len(x.announced)+len(x.parents) != 0 {
				t.Errorf("left behind: %+v", x)
			}
		})
	}
}

func TestTransfersAreBounded(t *testing.T) {
	b := newBench(t, Config{})
	c := b.login(1)
	for n := range 100 {
		c.line(">PASV")
		c.line(fmt.Sprintf("<227 ok (10,0,0,2,31,%d)", n))
		c.line(">RETR file")
	}
	if x := &b.transfers; x.count != maxOfPair || len(x.announced) != 1 {
		t.Errorf("%d announced", x.count)
	}
	late := b.dial(100, 1, 5000, 2, 31<<8|99) // matches, whatever its age; the others are too old
	late.send(true, ack, "data")
	if n := b.transfers.count; n != 0 {
		t.Errorf("%d are left", n)
	}
	b.Close()
}

// FuzzFTP checks that no dialog disturbs the books of transfers.
func FuzzFTP(f *testing.F) {
	f.Add("PASV\r\n227 (1,2,3,4,5,6)\r\nRETR x\r\n")
	f.Add("EPRT |1|a|99|\nPORT 1,2,3,4,5,6\n229 (|||7|)\nSTOR file\n")
	f.Fuzz(func(t *testing.T, text string) {
		var x transfers
		x.announced = map[[2]packet.Addr][]transfer{}
		e := &entry{flags: ftpControl}
		x.controls = map[*entry]*control{e: {}}
		for range 3 {
			x.read(e, &packet.Packet{Payload: []byte(text)}, 0)
			x.read(e, &packet.Packet{Payload: []byte(text)}, 1)
		}
		n := 0
		for _, l := range x.announced {
			n += len(l)
		}
		if n != x.count || n > maxOfPair {
			t.Errorf("%d announced, %d counted", n, x.count)
		}
		x.forget(e)
		if x.count != 0 || len(x.announced) != 0 {
			t.Errorf("%d left", x.count)
		}
	})
}
