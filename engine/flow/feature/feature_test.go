package feature

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"dragonfly/engine/packet"
)

// columns are the header of CICFlowMeter's CSV, from its first number about the flow's packets on.
const columns = `Flow Duration,Total Fwd Packet,Total Bwd packets,Total Length of Fwd Packet,Total Length of Bwd Packet,` +
	`Fwd Packet Length Max,Fwd Packet Length Min,Fwd Packet Length Mean,Fwd Packet Length Std,Bwd Packet Length Max,` +
	`Bwd Packet Length Min,Bwd Packet Length Mean,Bwd Packet Length Std,Flow Bytes/s,Flow Packets/s,Flow IAT Mean,Flow IAT Std,` +
	`Flow IAT Max,Flow IAT Min,Fwd IAT Total,Fwd IAT Mean,Fwd IAT Std,Fwd IAT Max,Fwd IAT Min,Bwd IAT Total,Bwd IAT Mean,` +
	`Bwd IAT Std,Bwd IAT Max,Bwd IAT Min,Fwd PSH Flags,Bwd PSH Flags,Fwd URG Flags,Bwd URG Flags,Fwd Header Length,` +
	`Bwd Header Length,Fwd Packets/s,Bwd Packets/s,Packet Length Min,Packet Length Max,Packet Length Mean,Packet Length Std,` +
	`Packet Length Variance,FIN Flag Count,SYN Flag Count,RST Flag Count,PSH Flag Count,ACK Flag Count,URG Flag Count,` +
	`CWR Flag Count,ECE Flag Count,Down/Up Ratio,Average Packet Size,Fwd Segment Size Avg,Bwd Segment Size Avg,` +
	`Fwd Bytes/Bulk Avg,Fwd Packet/Bulk Avg,Fwd Bulk Rate Avg,Bwd Bytes/Bulk Avg,Bwd Packet/Bulk Avg,Bwd Bulk Rate Avg,` +
	`Subflow Fwd Packets,Subflow Fwd Bytes,Subflow Bwd Packets,Subflow Bwd Bytes,FWD Init Win Bytes,Bwd Init Win Bytes,` +
	`Fwd Act Data Pkts,Fwd Seg Size Min,Active Mean,Active Std,Active Max,Active Min,Idle Mean,Idle Std,Idle Max,Idle Min`

// snake is the rule of the documentation.
func snake(column string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(column))
}

// vector returns the features of packets, decoded, with the list of their names in order.
func vector(t testing.TB, k Kind, packets []packet.Packet, back []bool) (map[string]any, []string) {
	t.Helper()
	f := New(k)
	for i := range packets {
		f.Add(&packets[i], back[i])
	}
	text := "{" + string(f.Append(nil)) + "}"
	if again := "{" + string(f.Append(nil)) + "}"; again != text {
		t.Fatalf("the second text differs: %s\n%s", text, again)
	}
	var ev struct{ Features map[string]any }
	if err := json.Unmarshal([]byte(text), &ev); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return ev.Features, names(text)
}

func names(text string) (list []string) {
	for i, part := range strings.Split(text, `"`) {
		if i%2 == 1 && i > 1 {
			list = append(list, part)
		}
	}
	return list
}

func compare(t testing.TB, name string, got any, want float64) {
	t.Helper()
	x, ok := got.(float64)
	if !ok || math.Abs(x-want) > 1e-9*math.Max(1, math.Abs(want)) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// check compares both vectors with the reference.
func check(t testing.TB, packets []packet.Packet, back []bool) {
	t.Helper()
	all := read(packets, back)
	got, _ := vector(t, CIC, packets, back)
	want := wantCIC(all)
	if len(got) != len(want) {
		t.Errorf("%d features, want %d", len(got), len(want))
	}
	for column, x := range want {
		compare(t, column, got[snake(column)], x)
	}
	got, _ = vector(t, NFStream, packets, back)
	numbers := wantNFStream(all)
	if len(got) != len(numbers)+3 {
		t.Errorf("%d features, want %d", len(got), len(numbers)+3)
	}
	for name, x := range numbers {
		compare(t, name, got[name], x)
	}
	for i := range 20 {
		direction, size, gap := -1.0, -1.0, -1.0
		if i < len(all) {
			direction, size, gap = 0, float64(all[i].size), 0
			if all[i].back {
				direction = 1
			}
			if i > 0 {
				gap = float64(all[i].at-all[i-1].at) / 1e6
			}
		}
		compare(t, "splt_direction", got["splt_direction"].([]any)[i], direction)
		compare(t, "splt_ps", got["splt_ps"].([]any)[i], size)
		compare(t, "splt_piat_ms", got["splt_piat_ms"].([]any)[i], gap)
	}
}

func TestCICHasTheColumnsInTheirOrder(t *testing.T) {
	_, got := vector(t, CIC, nil, nil)
	want := strings.Split(columns, ",")
	if len(got) != len(want) || len(want) != 76 {
		t.Fatalf("got %d names, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != snake(want[i]) {
			t.Errorf("name %d is %s, want %s", i, got[i], snake(want[i]))
		}
	}
}

// randomPackets are of a flow whose gaps and sizes lie around the thresholds.
func randomPackets(r *rand.Rand, n int) (packets []packet.Packet, back []bool) {
	gaps := []int64{0, 1, 999, 1e3, 1e6, 1e9 - 1, 1e9, 1e9 + 1, 5e9, 5e9 + 1, 60e9, -1e6, -3e9}
	sizes := []uint32{0, 1, 100, 1460, 65535, 0}
	proto := []uint8{packet.TCP, packet.TCP, packet.UDP, packet.ICMP}[r.IntN(4)]
	now, dir := int64(1.7e18), false
	for range n {
		if r.IntN(3) == 0 {
			dir = !dir
		}
		now += gaps[r.IntN(len(gaps))]
		p := packet.Packet{Time: now, Proto: proto, PayloadLen: sizes[r.IntN(len(sizes))], Window: uint16(r.Uint32())}
		if proto == packet.TCP {
			p.TCPFlags, p.TCPOptions = uint8(r.Uint32()), make([]byte, 4*r.IntN(11))
		}
		p.Bytes = p.PayloadLen + 54
		packets, back = append(packets, p), append(back, dir)
	}
	return packets, back
}

func TestFeaturesAgreeWithTheSlowReference(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		packets, back := randomPackets(r, r.IntN(60))
		check(t, packets, back)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestDeviationSurvivesLargeMeans takes a flow whose gaps differ by less than a millionth: sums of squares in floats lose that.
func TestDeviationSurvivesLargeMeans(t *testing.T) {
	var packets []packet.Packet
	now := int64(0)
	for i := range 1001 {
		packets = append(packets, packet.Packet{Time: now, Proto: packet.UDP, Bytes: 4e9 + uint32(i%2), PayloadLen: 4e9 + uint32(i%2)})
		now += 3600e9 + int64(i%2)*1000
	}
	got, _ := vector(t, NFStream, packets, make([]bool, len(packets)))
	compare(t, "stddev_piat_ms", got["bidirectional_stddev_piat_ms"], 0.001/2*math.Sqrt(1000.0/999))
	check(t, packets, make([]bool, len(packets)))
}

// TestSumsDoNotOverflow adds the largest numbers that are allowed.
func TestSumsDoNotOverflow(t *testing.T) {
	var s sums
	s.add(0)
	s.add(math.MaxUint64)
	if got, want := s.deviation(), math.Exp2(64)/math.Sqrt2; math.Abs(got-want) > 1e4 {
		t.Errorf("got %g, want %g", got, want)
	}
	packets := []packet.Packet{{Time: math.MinInt64}, {Time: math.MaxInt64}, {Time: math.MinInt64}}
	for _, k := range []Kind{NFStream, CIC} {
		vector(t, k, packets, []bool{false, true, false}) // fails where the text is not JSON: NaN, Inf
	}
}

func TestStateHasAFixedSize(t *testing.T) {
	head := int(unsafe.Sizeof(Features{}))
	if got := head + int(unsafe.Sizeof(nfstream{})); got != NFStreamBytes {
		t.Errorf("nfstream takes %d bytes, the constant says %d", got, NFStreamBytes)
	}
	if got := head + int(unsafe.Sizeof(cic{})); got != CICBytes {
		t.Errorf("cic takes %d bytes, the constant says %d", got, CICBytes)
	}
	packets, back := randomPackets(rand.New(rand.NewPCG(1, 1)), 100)
	for _, k := range []Kind{NFStream, CIC} {
		f, b := New(k), make([]byte, 0, 8<<10)
		if n := testing.AllocsPerRun(10, func() {
			f.Reset()
			for i := range packets {
				f.Add(&packets[i], back[i])
			}
			b = f.Append(b[:0])
		}); n > 0 {
			t.Errorf("kind %d: %v allocations", k, n)
		}
	}
}

func TestParseNamesTheKinds(t *testing.T) {
	for name, want := range map[string]Kind{"": None, "nfstream": NFStream, "cic": CIC} {
		if k, err := Parse(name); k != want || err != nil {
			t.Errorf("%q: got %v, %v", name, k, err)
		}
	}
	if _, err := Parse("cicflow"); err == nil || !strings.Contains(err.Error(), "nfstream or cic") {
		t.Errorf("got %v", err)
	}
	if New(None) != nil {
		t.Error("no features have a state")
	}
}

// FuzzFeatures reads packets of 16 bytes: both vectors are JSON without NaN, and equal to the reference's.
func FuzzFeatures(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdeF"))
	f.Add(make([]byte, 96))
	f.Fuzz(func(t *testing.T, data []byte) {
		var packets []packet.Packet
		var back []bool
		now := int64(1.6e18)
		for ; len(data) >= 16 && len(packets) < 200; data = data[16:] {
			now += int64(int32(binary.BigEndian.Uint32(data))) * 7
			p := packet.Packet{Time: now, PayloadLen: uint32(binary.BigEndian.Uint16(data[4:])), Bytes: binary.BigEndian.Uint32(data[6:]),
				Proto: []uint8{packet.TCP, packet.UDP}[data[11]&1], Window: binary.BigEndian.Uint16(data[12:])}
			if p.Proto == packet.TCP {
				p.TCPFlags, p.TCPOptions = data[14], data[:data[10]&15]
			}
			packets, back = append(packets, p), append(back, data[15]&1 != 0)
		}
		check(t, packets, back)
	})
}

func BenchmarkFeatures(b *testing.B) {
	packets, back := randomPackets(rand.New(rand.NewPCG(1, 1)), 100)
	for name, k := range map[string]Kind{"nfstream": NFStream, "cic": CIC} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f, i := New(k), 0
			for b.Loop() {
				f.Add(&packets[i%100], back[i%100])
				i++
			}
		})
	}
}

// TestTurnSwapsDirections adds half of a flow, turns it, and adds the rest: as if all had been added the other way round.
func TestTurnSwapsDirections(t *testing.T) {
	for seed := range uint64(50) {
		packets, back := randomPackets(rand.New(rand.NewPCG(seed, 2)), 50)
		for _, k := range []Kind{NFStream, CIC} {
			turned, want := New(k), New(k)
			for i := range packets {
				if i == 10+int(seed) {
					turned.Turn()
				}
				turned.Add(&packets[i], back[i] != (i < 10+int(seed)))
				want.Add(&packets[i], back[i])
			}
			if len(packets) <= 10+int(seed) {
				turned.Turn()
			}
			if got, want := string(turned.Append(nil)), string(want.Append(nil)); got != want {
				t.Fatalf("seed %d:\ngot  %s\nwant %s", seed, got, want)
			}
		}
	}
}

// TestHeadersAreThoseOfTheTransport: TCP's with its options.
func TestHeadersAreThoseOfTheTransport(t *testing.T) {
	syn := at(0, 0, packet.SYN, 1)
	syn.TCPOptions = make([]byte, 20)
	udp := packet.Packet{Proto: packet.UDP, HeaderLen: 28, PayloadLen: 5}
	wantFeatures(t, "><>", map[string]float64{"fwd_header_length": 60, "fwd_seg_size_min": 20, "bwd_header_length": 20}, syn, at(1, 0, 0, 1), at(2, 0, 0, 1))
	wantFeatures(t, "><", map[string]float64{"fwd_header_length": 8, "fwd_seg_size_min": 8, "bwd_header_length": 8}, udp, udp)
}
