package flow

import (
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	smallSlabs = 8       // so many slabs are Go's memory, one by one: a small table needs no more
	chunkSlabs = 64      // after them, so many at once are not: 12 MiB
	largeIndex = 1 << 19 // buckets from which on an index is not Go's memory: 2 MiB
	hugePage   = 2 << 20
)

// memory is where a table lies. What is large is mapped beside Go's heap: on the heap it would make the garbage collector wait
// until as much garbage again, or a multiple, is there. It is in huge pages where the kernel has some.
type memory struct {
	chunk  []entry // slabs to come
	mapped [][]byte
}

// newMemory returns memory that goes with t at the latest.
func newMemory(t *table) *memory {
	m := &memory{}
	runtime.AddCleanup(t, (*memory).release, m)
	return m
}

// slab returns memory for slabSize entries, when there are n slabs.
func (m *memory) slab(n int) []entry {
	if n < smallSlabs {
		return make([]entry, slabSize)
	}
	if len(m.chunk) == 0 {
		m.chunk = mapped[entry](m, chunkSlabs*slabSize)
	}
	slab := m.chunk[:slabSize:slabSize]
	m.chunk = m.chunk[slabSize:]
	return slab
}

// indices returns n indices, which are 0.
func (m *memory) indices(n int) []uint32 {
	if n < largeIndex {
		return make([]uint32, n)
	}
	return mapped[uint32](m, n)
}

// free gives back what indices has returned.
func (m *memory) free(list []uint32) {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(list)))
	i := slices.IndexFunc(m.mapped, func(b []byte) bool {
		return at-uintptr(unsafe.Pointer(unsafe.SliceData(b))) < uintptr(len(b))
	})
	if i >= 0 {
		_ = unix.Munmap(m.mapped[i])
		m.mapped = slices.Delete(m.mapped, i, i+1)
	}
}

// release gives all back. The table cannot be used then.
func (m *memory) release() {
	for _, b := range m.mapped {
		_ = unix.Munmap(b)
	}
	*m = memory{}
}

// mapped returns n values, which are 0. T has no pointers.
func mapped[T any](m *memory, n int) []T {
	var zero T
	length := n * int(unsafe.Sizeof(zero))
	b, err := unix.Mmap(-1, 0, length+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil { // forbidden, or no room: Go's allocator says so
		return make([]T, n)
	}
	m.mapped = append(m.mapped, b)
	at := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (hugePage - 1))
	b = b[at : at+length]
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // advice: without it all is the same, and slower
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}
