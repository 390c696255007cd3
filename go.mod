module dragonfly

go 1.26.0

require (
	github.com/fsnotify/fsnotify v1.10.1 // tail: notifications of the kernel; nxadm/tail loses lines under rotation, see README
	github.com/gaissmai/bart v0.30.0 // net: longest-prefix match in 10-20 ns
	github.com/klauspost/compress v1.20.3 // input file: zstd
	github.com/landlock-lsm/go-landlock v0.11.0 // cmd/dragonfly: confinement by the kernel, of all threads
	github.com/yuin/gopher-lua v1.1.2 // luabind: the Lua of all scripts; gopher-json re-encodes events wrongly, see README
	golang.org/x/net v0.62.0 // engine/domain: the public suffix list
	golang.org/x/sys v0.49.0 // chroot, privileges, socket options, birth times of files
)

require github.com/redis/go-redis/v9 v9.23.0 // engine/store/remote: the Redis that config.lua names; redis:// inputs and outputs

require (
	github.com/nats-io/nats-server/v2 v2.15.2 // test/queues only: a real server within the tests
	github.com/nats-io/nats.go v1.55.0 // nats://: the client of the makers; its jetstream package has pull consumers with in-progress acks
	github.com/nats-io/nkeys v0.4.16 // nats://: seeds of nkeys, credentials
	github.com/nats-io/nuid v1.0.1 // nats://: ids of messages, cheaper than crypto/rand
)

require (
	github.com/antithesishq/antithesis-sdk-go v0.8.0-default-no-op // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.2 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/time v0.16.0 // indirect
	kernel.org/pub/linux/libs/security/libcap/psx v1.2.77 // indirect
)
