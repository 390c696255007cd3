package flow

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
)

// ring is a packet socket with the memory that the kernel writes frames to: TPACKET_V3, in blocks. It is code of ours, not
// gopacket's afpacket (which the kernel's part is the same for): that one binds its socket before the ring and the filter are
// there, so that frames come in which the filter does not take; it copies each frame whose VLAN tag the kernel has taken
// off, takes a lock for each frame, and its sockets are lost with their interface. Here a frame is a slice of the
// ring, tag and all; the socket is bound last; and as binding again needs no right, an interface that was removed and
// comes back is captured by a process that has given up CAP_NET_RAW long ago.
//
// A ring belongs to one goroutine. Its order of calls: openRing, attach, bind, then read and wait, close.
type ring struct {
	fd     int
	memory []byte
	blocks int
	next   int // the block that is read next
	index  int // of the interface; 0: not bound
	link   packet.LinkType
	number uint64
}

const (
	blockLen = 1 << 19 // bytes; holds the largest frame and is a multiple of every page size
	frameLen = 2048    // without a meaning in TPACKET_V3, but checked
	tagLen   = 4
)

// openRing makes a socket that gets nothing yet, with a ring of size bytes, rounded to whole blocks. The kernel hands a block
// over when it is full, or after timeout milliseconds.
func openRing(size, timeout int) (*ring, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r := &ring{fd: fd, blocks: max(2, size/blockLen)}
	if err := r.setUp(timeout); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *ring) setUp(timeout int) error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("packet version 3: %w", err)
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_RESERVE, tagLen); err != nil { // a tag is put back there
		return fmt.Errorf("packet reserve: %w", err)
	}
	req := unix.TpacketReq3{Block_size: blockLen, Block_nr: uint32(r.blocks), Frame_size: frameLen,
		Frame_nr: uint32(blockLen / frameLen * r.blocks), Retire_blk_tov: uint32(timeout)}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("a ring of %d MiB: %w (with less ring_size it may be possible)", r.blocks*blockLen>>20, err)
	}
	memory, err := unix.Mmap(r.fd, 0, blockLen*r.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("mapping a ring of %d MiB: %w", r.blocks*blockLen>>20, err)
	}
	r.memory = memory
	return nil
}

// attach makes the kernel pass frames by a program from now on.
func (r *ring) attach(code []filter.Instruction) error {
	p := unix.SockFprog{Len: uint16(len(code)), Filter: (*unix.SockFilter)(unsafe.Pointer(&code[0]))} // of one layout
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &p); err != nil {
		return fmt.Errorf("attaching a filter of %d instructions: %w", len(code), err)
	}
	return nil
}

// shut lets no further frame in; those in the ring stay.
func (r *ring) shut() error { return r.attach([]filter.Instruction{{Code: 6}}) } // return 0

// bind begins the capture on an interface, or moves it there. It needs no right.
func (r *ring) bind(at nic, promiscuous bool) error {
	if at.loopback { // it delivers each frame twice: as it goes out, and as it comes in
		unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1) // before Linux 4.20 read skips them
	}
	r.link = at.link
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: allProtocols, Ifindex: at.index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	r.index = at.index
	if promiscuous && !at.loopback {
		m := unix.PacketMreq{Ifindex: int32(at.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return fmt.Errorf("promiscuous mode: %w (promiscuous = false does without)", err)
		}
	}
	return nil
}

// allProtocols is ETH_P_ALL in network byte order.
var allProtocols = binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})

// read hands the frames of the next block to take and gives the block back; false: no block is full yet. Data of a frame is
// valid during the call.
func (r *ring) read(take func(f *packet.Frame), loopback bool) (bool, error) {
	block := r.memory[r.next*blockLen:][:blockLen:blockLen]
	head := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[8]))
	if atomic.LoadUint32(&head.Block_status)&unix.TP_STATUS_USER == 0 {
		return false, nil
	}
	err := r.walk(block, head, take, loopback)
	atomic.StoreUint32(&head.Block_status, unix.TP_STATUS_KERNEL)
	r.next = (r.next + 1) % r.blocks
	return true, err
}

const (
	headLen = int(unsafe.Sizeof(unix.Tpacket3Hdr{}))
	addrLen = int(unsafe.Sizeof(unix.RawSockaddrLinklayer{}))
)

var errBlock = errors.New("BUG: the kernel and this program do not agree on how a block of the ring is laid out")

func (r *ring) walk(block []byte, head *unix.TpacketHdrV1, take func(f *packet.Frame), loopback bool) error {
	f := packet.Frame{LinkType: r.link}
	at := int(head.Offset_to_first_pkt)
	for range head.Num_pkts {
		if at < 48 || at > blockLen-headLen-addrLen || at%8 != 0 {
			return errBlock
		}
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[at]))
		from, to := at+int(h.Mac), at+int(h.Mac)+int(h.Snaplen)
		if from < at+headLen+addrLen || to > blockLen {
			return errBlock
		}
		sender := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&block[at+headLen]))
		at += int(h.Next_offset)
		if loopback && sender.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		f.Len = int(h.Len)
		if h.Status&unix.TP_STATUS_VLAN_VALID != 0 && to-from >= 12 && r.link == filter.Ethernet {
			from -= tagLen
			copy(block[from:from+12], block[from+tagLen:])
			tpid := uint16(0x8100)
			if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
				tpid = h.Hv1.Vlan_tpid
			}
			tag := block[from+12:]
			tag[0], tag[1], tag[2], tag[3] = byte(tpid>>8), byte(tpid), byte(h.Hv1.Vlan_tci>>8), byte(h.Hv1.Vlan_tci)
			f.Len += tagLen
		}
		r.number++
		f.Time, f.Data, f.Number = int64(h.Sec)*1e9+int64(h.Nsec), block[from:to:to], r.number
		take(&f)
	}
	return nil
}

// wait returns when a block is full, something has happened to the interface, or after timeout milliseconds. The error is
// what happened; the ring goes on after unix.ENETDOWN when the interface is up again.
func (r *ring) wait(timeout int) error {
	p := [1]unix.PollFd{{Fd: int32(r.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p[:], timeout); err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll: %w", err)
	}
	if p[0].Revents&unix.POLLERR == 0 {
		return nil
	}
	n, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR) // and clears it
	if err != nil || n == 0 {
		return err
	}
	return unix.Errno(n)
}

// dropped returns how many frames the kernel had no room for since the last call.
func (r *ring) dropped() (uint32, error) {
	s, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS) // and clears them
	if err != nil {
		return 0, err
	}
	return s.Drops, nil
}

func (r *ring) close() error {
	var err error
	if r.memory != nil {
		err = unix.Munmap(r.memory)
		r.memory = nil
	}
	return errors.Join(err, unix.Close(r.fd))
}
