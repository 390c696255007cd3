module dragonfly

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1 // tail: notifications of the kernel; nxadm/tail loses lines under rotation, see README
	github.com/gaissmai/bart v0.30.0 // net: longest-prefix match in 10-20 ns
	github.com/klauspost/compress v1.20.3 // input file: zstd
	github.com/landlock-lsm/go-landlock v0.11.0 // cmd/dragonfly: confinement by the kernel, of all threads
	github.com/parquet-go/parquet-go v0.32.0 // output parquet: rows whose columns are known at run time
	github.com/yuin/gopher-lua v1.1.2 // luabind: the Lua of all scripts; gopher-json re-encodes events wrongly, see README
	golang.org/x/net v0.62.0 // engine/domain: the public suffix list
	golang.org/x/sys v0.49.0 // chroot, privileges, socket options, birth times of files
	modernc.org/sqlite v1.59.0 // input and output sqlite: without cgo; not newer, as `go mod tidy` of 1.61 asks for a version of pprof that is not to be had
)

require github.com/redis/go-redis/v9 v9.23.0 // engine/store/remote: the Redis that config.lua names

require (
	github.com/andybalholm/brotli v1.1.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/parquet-go/bitpack v1.0.0 // indirect
	github.com/parquet-go/jsonlite v1.0.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.21 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/twpayne/go-geom v1.6.1 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	google.golang.org/protobuf v1.34.2 // indirect
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
	modernc.org/libc v1.75.7 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
