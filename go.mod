module dragonfly

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1 // tail: notifications of the kernel; nxadm/tail loses lines under rotation, see README
	github.com/gaissmai/bart v0.30.0 // net: longest-prefix match in 10-20 ns
	github.com/klauspost/compress v1.20.3 // captures, input file: gzip, zstd
	github.com/landlock-lsm/go-landlock v0.11.0 // cmd/dragonfly: confinement by the kernel, of all threads
	github.com/yuin/gopher-lua v1.1.2 // luabind: the Lua of all scripts; gopher-json re-encodes events wrongly, see README
	golang.org/x/net v0.62.0 // engine/domain: the public suffix list
	golang.org/x/sys v0.49.0 // chroot, privileges, socket options, birth times of files
)

require github.com/redis/go-redis/v9 v9.23.0 // engine/store/remote: the Redis that config.lua names

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
)
