package flow

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"dragonfly/engine/packet"
)

func TestTimesAreThoseOfTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	times := []int64{-5e9, 0, 1, 999, 1e9 - 1, 86400e9, 86400e9 - 1, -1, -86400e9, 1582934400e9, math.MaxInt64, math.MinInt64}
	for range 2000 {
		times = append(times, int64(r.Uint64()))
	}
	var d daytime
	for _, ns := range times {
		want := time.Unix(0, ns).UTC()
		if got := string(d.append(nil, ns)); got != want.Format("2006-01-02T15:04:05.000000+0000") {
			t.Errorf("%d: got %s, want %s", ns, got, want)
		}
	}
	if got := string((&daytime{}).append(nil, -5e9)); got != "1969-12-31T23:59:55.000000+0000" {
		t.Errorf("got %s", got)
	}
}

func TestAddresses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		var a packet.Addr
		for i := range a {
			a[i] = byte(r.Uint32())
		}
		if got, want := string(appendAddress(nil, &a, true)), text(a, true); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		four := packet.IPv4(a[:])
		if got, want := string(appendAddress(nil, &four, false)), text(four, false); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	mapped := packet.IPv4([]byte{1, 2, 3, 4})
	if got := string(appendAddress(nil, &mapped, true)); got != "0000:0000:0000:0000:0000:ffff:0102:0304" {
		t.Errorf("got %s", got)
	}
}

func TestAppendUintWritesEveryLength(t *testing.T) {
	list := []uint64{0, math.MaxUint64, math.MaxUint64 - 1}
	for n := uint64(1); n < math.MaxUint64/10; n *= 10 {
		list = append(list, n-1, n, n+1, 10*n-1, 9*n, n*12345%(10*n))
	}
	for i := range uint64(70000) {
		list = append(list, i, i*0x9e3779b97f4a7c15)
	}
	for _, n := range list {
		if got, want := string(appendUint([]byte("x"), n)), "x"+strconv.FormatUint(n, 10); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}
