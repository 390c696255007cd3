package flow

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
)

// nic is what the kernel says of an interface.
type nic struct {
	index    int
	link     packet.LinkType
	loopback bool
	up       bool
}

// lookUp asks for the interface of a name, through any socket. The error is errNoInterface if there is none.
func lookUp(fd int, name string) (nic, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nic{}, fmt.Errorf("%w %q", errNoInterface, name)
	}
	ask := func(what uint) error {
		if err := unix.IoctlIfreq(fd, what, ifr); err != nil {
			if errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("%w %q", errNoInterface, name)
			}
			return fmt.Errorf("interface %s: %w", name, err)
		}
		return nil
	}
	if err := ask(unix.SIOCGIFINDEX); err != nil {
		return nic{}, err
	}
	n := nic{index: int(ifr.Uint32())}
	if err := ask(unix.SIOCGIFFLAGS); err != nil {
		return nic{}, err
	}
	n.up, n.loopback = ifr.Uint16()&unix.IFF_UP != 0, ifr.Uint16()&unix.IFF_LOOPBACK != 0
	if err := ask(unix.SIOCGIFHWADDR); err != nil {
		return nic{}, err
	}
	switch hardware := ifr.Uint16(); hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		n.link = filter.Ethernet
	case unix.ARPHRD_NONE, unix.ARPHRD_PPP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6, unix.ARPHRD_SIT, unix.ARPHRD_RAWIP:
		n.link = filter.Raw // IP, nothing before it
	default:
		return nic{}, fmt.Errorf("interface %s is of hardware type %d: only Ethernet and what carries plain IP (tun, ppp, sit) can be captured", name, hardware)
	}
	return n, nil
}

var errNoInterface = errors.New("there is no interface")

// nameOf returns the name that the interface of an index has now; "" if it is gone.
func nameOf(fd, index int) string {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	ifr.SetUint32(uint32(index))
	if unix.IoctlIfreq(fd, unix.SIOCGIFNAME, ifr) != nil {
		return ""
	}
	return ifr.Name()
}

// present lists the interfaces that there are, for messages.
func present() string {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		return "none can be seen"
	}
	var names []string
	for _, i := range list {
		names = append(names, i.Name)
	}
	if len(names) > 20 {
		names = append(names[:20], "...")
	}
	return strings.Join(names, ", ")
}

// merging names the offloads of an interface that make one frame of several before they are captured; "" if there are none or
// they cannot be asked for.
func merging(fd int, name string) string {
	const getGRO, getFlags, lro = 0x2b, 0x25, 1 << 15 // linux/ethtool.h
	ask := func(command uint32) uint32 {
		value := [2]uint32{command}
		var req struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(req.name[:unix.IFNAMSIZ-1], name)
		req.data = unsafe.Pointer(&value)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return 0
		}
		return value[1]
	}
	var on []string
	if ask(getGRO) != 0 {
		on = append(on, "gro")
	}
	if ask(getFlags)&lro != 0 {
		on = append(on, "lro")
	}
	return strings.Join(on, ", ")
}
