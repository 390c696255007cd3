module dragonfly

go 1.26.0

require (
	github.com/IBM/fluent-forward-go v0.4.0 // tests of forward, and test/bench: an implementation of the protocol that is not ours
	github.com/IBM/sarama v1.61.1 // kafka: the first with cooperative rebalancing; its retry of batches is not used, see engine/output/kafka
	github.com/fsnotify/fsnotify v1.10.1 // tail: notifications of the kernel; nxadm/tail loses lines under rotation, see README
	github.com/gaissmai/bart v0.30.0 // net: longest-prefix match in 10-20 ns
	github.com/klauspost/compress v1.20.3 // captures, input file, HTTP: gzip, zstd
	github.com/landlock-lsm/go-landlock v0.11.0 // cmd/dragonfly: confinement by the kernel, of all threads
	github.com/nats-io/nats-server/v2 v2.15.2 // test/queues, test/e2e and test/bench only: a real server within the tests
	github.com/nats-io/nats.go v1.55.0 // nats://: the client of the makers; its jetstream package has pull consumers with in-progress acks
	github.com/nats-io/nkeys v0.4.16 // nats://: seeds of nkeys, credentials
	github.com/nats-io/nuid v1.0.1 // nats://: ids of messages, cheaper than crypto/rand
	github.com/parquet-go/parquet-go v0.32.0 // output parquet: rows whose columns are known at run time
	github.com/redis/go-redis/v9 v9.23.0 // engine/store/remote: the Redis that config.lua names; redis:// inputs and outputs
	github.com/tinylib/msgp v1.6.5 // input and output forward: the primitives of MessagePack; its own reading of whole objects has no bounds
	github.com/twmb/franz-go v1.22.2 // kafka, tests only: what kfake needs
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c // kafka, tests only: a Kafka in the process
	github.com/twmb/franz-go/pkg/kmsg v1.15.0 // kafka, tests only: requests by name
	github.com/yuin/gopher-lua v1.1.2 // luabind: the Lua of all scripts; gopher-json re-encodes events wrongly, see README
	golang.org/x/net v0.62.0 // engine/domain: the public suffix list; engine/app: the Huffman code of HTTP/2
	golang.org/x/sys v0.49.0 // chroot, privileges, socket options, birth times of files
	modernc.org/sqlite v1.59.0 // input and output sqlite: without cgo; not newer, as `go mod tidy` of 1.61 asks for a version of pprof that is not to be had
)

require (
	github.com/andybalholm/brotli v1.1.1 // indirect
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/eapache/go-resiliency v1.7.0 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gorilla/websocket v1.4.2 // indirect
	github.com/hashicorp/go-uuid v1.0.3 // indirect
	github.com/jcmturner/aescts/v2 v2.0.0 // indirect
	github.com/jcmturner/dnsutils/v2 v2.0.0 // indirect
	github.com/jcmturner/gofork v1.7.6 // indirect
	github.com/jcmturner/gokrb5/v8 v8.4.4 // indirect
	github.com/jcmturner/rpc/v2 v2.0.3 // indirect
	github.com/mattn/go-isatty v0.0.24 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	github.com/ncruces/go-strftime v1.0.0 // indirect
	github.com/parquet-go/bitpack v1.0.0 // indirect
	github.com/parquet-go/jsonlite v1.0.0 // indirect
	github.com/philhofer/fwd v1.2.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/rcrowley/go-metrics v0.0.0-20250401214520-65e299d6c5c9 // indirect
	github.com/remyoudompheng/bigfft v0.0.0-20230129092748-24d4a6f8daec // indirect
	github.com/twpayne/go-geom v1.6.1 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect; not older: with Go 1.26 those make the linker keep all exported methods, 11 MB
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
	modernc.org/libc v1.75.7 // indirect
	modernc.org/mathutil v1.7.1 // indirect
	modernc.org/memory v1.12.1 // indirect
)
