package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/redis/go-redis/v9"

	"dragonfly/engine"
	test "dragonfly/engine/wire/kafka/kafkatest"
)

// real is a connection to a redis-server.
type real struct{ c *redis.Client }

func (r real) Do(args ...string) (any, error) {
	list := make([]any, len(args))
	for i, a := range args {
		list[i] = a
	}
	return r.c.Do(context.Background(), list...).Result()
}

func (r real) Close() error { return r.c.Close() }

// startRedis starts a redis-server on a unix socket.
func startRedis(t *testing.T) real {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("redis-server is missing")
	}
	dir, err := os.MkdirTemp("", "kv") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", dir+"/s", "--dir", dir, "--save", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: dir + "/s"})
	t.Cleanup(func() {
		c.Close()
		cmd.Process.Kill()
		cmd.Wait()
		os.RemoveAll(dir)
	})
	test.WaitFor(t, "redis-server", func() bool { return c.Ping(t.Context()).Err() == nil })
	return real{c}
}

// TestVaultScripts: who may claim and write, in a real Redis and in the one of the tests.
func TestVaultScripts(t *testing.T) {
	for name, conn := range map[string]engine.RedisConn{"redis-server": startRedis(t), "the tests' own": newHashes()} {
		v, err := newVault(conn)
		if err != nil {
			t.Fatal(err)
		}
		step := 0
		claim := func(generation int32, owner, other, want string) {
			t.Helper()
			step++
			snap, err := v.claim(t.Context(), "key", generation, owner, other)
			got := "nothing"
			var fenced *fencedError
			switch {
			case errors.As(err, &fenced):
				got = fmt.Sprintf("fenced by %s of %s", fenced.owner, fenced.generation)
			case err != nil:
				t.Fatal(err)
			case snap != nil:
				got = fmt.Sprintf("offset %d, %d stages, %q", snap.offset, len(snap.states), snap.states["analyzer a"].Shards)
			}
			if got != want {
				t.Errorf("%s, step %d: got %s, want %s", name, step, got, want)
			}
		}
		save := func(generation int32, owner string, offset int64, refused bool) {
			t.Helper()
			step++
			data, err := v.encode("in", "kafka://t/0", &snapshot{offset, map[string]engine.StageState{
				"analyzer a": engine.NewStageState([][]byte{[]byte("state \x00\xff")})}})
			if err != nil {
				t.Fatal(err)
			}
			var fenced *fencedError
			if err = v.save(t.Context(), "key", generation, owner, offset, data); errors.As(err, &fenced) != refused || err != nil && !refused {
				t.Errorf("%s, step %d: got %v", name, step, err)
			}
		}
		claim(5, "a", "", "nothing")
		claim(5, "a", "", "nothing")
		save(5, "a", 10, false)
		save(6, "a", 20, false) // kept over a rebalance
		claim(6, "b", "", `offset 20, 1 stages, ["state \x00\xff"]`)
		save(6, "a", 30, true)                                        // no longer its own
		save(7, "a", 30, true)                                        // not even in a later generation
		claim(5, "c", "", "fenced by b of 6")                         // it slept
		claim(5, "c", "4", "fenced by b of 6")                        // another one had been asked about
		save(6, "b", 40, false)                                       // still its own
		save(5, "b", 50, true)                                        // a generation never goes back
		claim(10, "d", "", `offset 40, 1 stages, ["state \x00\xff"]`) // two digits are more than one
		claim(9, "e", "", "fenced by d of 10")
		claim(1, "f", "10", `offset 40, 1 stages, ["state \x00\xff"]`) // another life of the group
		save(1, "f", 60, false)
		if r, ok := conn.(real); ok {
			r.c.Del(t.Context(), "key")
		} else {
			delete(conn.(*hashes).keys, "key")
		}
		save(1, "f", 70, false) // Redis has forgotten all
		claim(2, "g", "", `offset 70, 1 stages, ["state \x00\xff"]`)
		if err := v.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestVaultDamage: a snapshot of which a bit is wrong is never loaded.
func TestVaultDamage(t *testing.T) {
	v, err := newVault(newHashes())
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	data, err := v.encode("in", "kafka://t/0", &snapshot{10, map[string]engine.StageState{"analyzer a": engine.NewStageState([][]byte{[]byte("some state")})}})
	if err != nil {
		t.Fatal(err)
	}
	if snap, err := v.decode(data); err != nil || snap.offset != 10 || string(snap.states["analyzer a"].Shards[0]) != "some state" {
		t.Fatalf("got %+v, %v", snap, err)
	}
	for i := range data {
		for bit := range 8 {
			damaged := append([]byte{}, data...)
			damaged[i] ^= 1 << bit
			if snap, err := v.decode(damaged); err == nil && (snap.offset != 10 || string(snap.states["analyzer a"].Shards[0]) != "some state") {
				t.Errorf("byte %d, bit %d: got %+v", i, bit, snap)
			}
		}
		if _, err := v.decode(data[:i]); err == nil {
			t.Errorf("cut off after %d bytes: no error", i)
		}
	}
	for _, text := range []string{"", "{}", `{"version":2}`, `{"version":2,"inputs":{"a":[]}}`, `{"version":2,"inputs":{"a":[{"offset":1}],"b":[{"offset":2}]}}`,
		`{"version":3,"inputs":{"a":[{"offset":1}]}}`, `{"version":2,"inputs":{"a":[{"offset":-1}]}}`,
		`{"version":2,"inputs":{"a":[{"offset":1}]},"states":{"analyzer a":{"shards":["AAAA"],"sum":1}}}`} {
		if snap, err := v.decode(v.pack.EncodeAll([]byte(text), nil)); err == nil {
			t.Errorf("%s: got %+v", text, snap)
		}
	}
}
