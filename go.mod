module dragonfly

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1 // tail: notifications of the kernel; nxadm/tail loses lines under rotation, see README
	github.com/klauspost/compress v1.20.3 // input file: zstd
	github.com/yuin/gopher-lua v1.1.2 // luabind: the Lua of all scripts; gopher-json re-encodes events wrongly, see README
	golang.org/x/net v0.62.0 // engine/domain: the public suffix list
	golang.org/x/sys v0.49.0 // chroot, privileges, socket options
)
