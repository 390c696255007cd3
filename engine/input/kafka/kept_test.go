package kafka

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine"
)

// TestKeptStates: what is in Redis is listed, and states are removed from it, which whoever has claimed the partition notices.
func TestKeptStates(t *testing.T) {
	for name, conn := range map[string]engine.RedisConn{"redis-server": startRedis(t), "the tests' own": newHashes()} {
		t.Run(name, func(t *testing.T) {
			in := &input{tag: "eve", group: "g:1", redis: func() (engine.RedisConn, error) { return unclosed{conn}, nil }}
			if list, err := in.KeptStates(t.Context()); len(list) != 0 || err != nil {
				t.Fatalf("got %v, %v of nothing", list, err)
			}
			v, err := in.openVault()
			if err != nil {
				t.Fatal(err)
			}
			put := func(topic string, partition int32, offset int64, stages ...string) string {
				t.Helper()
				key := keyOf(in.group, topic, partition)
				owner := "member-1 " + topic
				if err := v.enter(t.Context(), in.group, key); err != nil {
					t.Fatal(err)
				}
				if _, err := v.claim(t.Context(), key, 3, owner, ""); err != nil {
					t.Fatal(err)
				}
				if offset < 0 {
					return owner
				}
				states := map[string]engine.StageState{}
				for _, s := range stages {
					states[s] = engine.NewStageState([][]byte{[]byte("state of " + s)})
				}
				data, err := v.encode(in.tag, originOf(topic, partition), &snapshot{offset, states})
				if err == nil {
					err = v.save(t.Context(), key, 3, owner, offset, data)
				}
				if err != nil {
					t.Fatal(err)
				}
				return owner
			}
			put("eve", 10, 70, "analyzer a")
			owner := put("eve", 2, 50, "analyzer a", "filter eve")
			put("eve", 3, -1)
			put("dns", 0, 9, "analyzer b")
			if err := v.enter(t.Context(), in.group, keyOf(in.group, "deleted", 0)); err != nil {
				t.Fatal(err)
			}
			look := func() (list []string) {
				t.Helper()
				all, err := in.KeptStates(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, k := range all {
					var stages []string
					for s := range k.States {
						stages = append(stages, s)
					}
					slices.Sort(stages)
					list = append(list, fmt.Sprintf("%s %d %s %v %v", k.Origin, k.Offset, k.Owner, stages, k.Saved.IsZero()))
				}
				return list
			}
			want := []string{"kafka://dns/0 9 member-1 [analyzer b] false", "kafka://eve/2 50 member-1 [analyzer a filter eve] false",
				"kafka://eve/3 -1 member-1 [] true", "kafka://eve/10 70 member-1 [analyzer a] false"}
			if got := look(); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			found, err := in.ForgetStates(t.Context(), []string{"analyzer a", "analyzer none"})
			if err != nil || !slices.Equal(found, []string{"analyzer a"}) {
				t.Errorf("forgot %q, %v", found, err)
			}
			want = []string{"kafka://dns/0 9 member-1 [analyzer b] false", "kafka://eve/2 50 dragonfly-state-forget [filter eve] false",
				"kafka://eve/3 -1 member-1 [] true", "kafka://eve/10 70 dragonfly-state-forget [] false"}
			if got := look(); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			var fenced *fencedError
			if err := v.save(t.Context(), keyOf(in.group, "eve", 2), 3, owner, 60, nil); !errors.As(err, &fenced) {
				t.Errorf("who had claimed it may still write: %v", err)
			}
			if err := v.save(t.Context(), keyOf(in.group, "dns", 0), 3, "member-1 dns", 10, []byte("no snapshot")); err != nil {
				t.Fatal(err)
			}
			if list, err := in.KeptStates(t.Context()); err != nil || list[0].Err == nil || list[0].Offset != -1 || len(list) != 4 {
				t.Errorf("a damaged snapshot: got %+v, %v", list, err)
			}
		})
	}
}

// unclosed is a connection that outlives its users.
type unclosed struct{ engine.RedisConn }

func (unclosed) Close() error { return nil }
