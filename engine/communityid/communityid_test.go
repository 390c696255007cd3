package communityid

import (
	"net/netip"
	"testing"
)

// TestAppendAgreesWithTheSpecification has cases of baseline_deflt.json and baseline_seed1.json; package luabind tests all.
func TestAppendAgreesWithTheSpecification(t *testing.T) {
	for _, v := range []struct {
		proto        uint8
		src, dst     string
		sport, dport uint16
		seed0, seed1 string
	}{
		{6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:3V71V58M3Ksw/yuFALMcW0LAHvc="},
		{1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=", "1:03g6IloqVBdcZlPyX8r0hgoE7kA="},
		{1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=", "1:XjUibYHaafLQ3pxQeiMI8g25q20="},
		{58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4, "1:hLZd0XGWojozrvxqE0dWB1iM6R0=", "1:W8MHwXpWzpoSTD+cGcaJr4u0ys8="},
		{46, "10.1.12.1", "10.1.12.2", 7, 9, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=", "1:rYir8gphR31noO9iDRQmF/BteEI="},
	} {
		src, dst := netip.MustParseAddr(v.src).AsSlice(), netip.MustParseAddr(v.dst).AsSlice()
		for seed, want := range []string{v.seed0, v.seed1} {
			if got := string(Append(nil, uint16(seed), v.proto, src, dst, v.sport, v.dport)); got != want {
				t.Errorf("%s %s %d, seed %d: got %s, want %s", v.src, v.dst, v.proto, seed, got, want)
			}
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	buf, src, dst := make([]byte, 0, 64), []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
	if n := testing.AllocsPerRun(100, func() { buf = Append(buf[:0], 0, 6, src, dst, 1, 2) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestAnswersAreMutual(t *testing.T) {
	for _, proto := range []uint8{icmp, icmp6} {
		for typ := range 256 {
			if a, ok := Answer(proto, uint8(typ)); ok {
				if back, _ := Answer(proto, a); int(back) != typ {
					t.Errorf("proto %d: %d is answered by %d, and that by %d", proto, typ, a, back)
				}
			}
		}
	}
}
