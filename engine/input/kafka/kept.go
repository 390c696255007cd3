package kafka

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
)

var _ engine.StateHolder = (*input)(nil)

// kept is a snapshot with what is needed to write it again.
type kept struct {
	engine.KeptState
	partition  int32
	generation int32
}

// KeptStates returns what Redis keeps of the partitions of the group, also of topics that are no longer read.
func (in *input) KeptStates(ctx context.Context) (list []engine.KeptState, err error) {
	err = in.eachKept(ctx, func(_ *vault, k kept) error {
		list = append(list, k.KeptState)
		return nil
	})
	return list, err
}

// ForgetStates writes the snapshots again without the states of stages. It claims them for that: who reads such a partition finds
// another owner at its next snapshot, drops it, and claims it again.
func (in *input) ForgetStates(ctx context.Context, stages []string) ([]string, error) {
	found := map[string]bool{}
	err := in.eachKept(ctx, func(v *vault, k kept) error {
		names, err := v.forget(ctx, in.tag, k, stages)
		for _, name := range names {
			found[name] = true
		}
		return err
	})
	return slices.Sorted(maps.Keys(found)), err
}

// eachKept calls f for each snapshot of the group; the errors of f are told together, each with its partition.
func (in *input) eachKept(ctx context.Context, f func(*vault, kept) error) error {
	if in.redis == nil {
		return nil
	}
	v, err := in.openVault()
	if err != nil {
		return err
	}
	defer v.close()
	list, err := v.kept(ctx, in.group)
	if err != nil {
		return err
	}
	var failed []error
	for _, k := range list {
		if err := f(v, k); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", k.Origin, err))
		}
	}
	return errors.Join(failed...)
}

// kept reads the snapshots of a group.
func (v *vault) kept(ctx context.Context, group string) ([]kept, error) {
	keys, err := v.list(ctx, "SMEMBERS", indexOf(group))
	if err != nil {
		return nil, err
	}
	var list []kept
	for _, key := range keys {
		k, err := v.look(ctx, group, fmt.Sprint(key))
		if err != nil {
			return nil, err
		}
		if k != nil {
			list = append(list, *k)
		}
	}
	slices.SortFunc(list, func(a, b kept) int {
		return cmp.Or(cmp.Compare(topicOf(group, a.Place), topicOf(group, b.Place)), cmp.Compare(a.partition, b.partition))
	})
	return list, nil
}

// topicOf is the inverse of keyOf. A group may have colons, a topic may not.
func topicOf(group, key string) string {
	topic := strings.TrimPrefix(key, strings.TrimSuffix(keyOf(group, "", 0), ":0"))
	return topic[:max(0, strings.LastIndexByte(topic, ':'))]
}

// look reads one snapshot; nil: somebody has deleted it.
func (v *vault) look(ctx context.Context, group, key string) (*kept, error) {
	list, err := v.list(ctx, "HMGET", key, "generation", "owner", "saved", "data")
	if err != nil {
		return nil, err
	}
	if len(list) != 4 || list[0] == nil {
		return nil, nil
	}
	text := func(i int) string { s, _ := list[i].(string); return s }
	number := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n }
	data := text(3)
	k := &kept{generation: int32(number(text(0))), partition: int32(number(key[strings.LastIndexByte(key, ':')+1:]))}
	k.Place, k.Offset, k.Bytes = key, -1, len(data)
	k.Origin = originOf(topicOf(group, key), k.partition)
	k.Owner, _, _ = strings.Cut(text(1), " ") // the rest tells claims of one member apart
	if saved := number(text(2)); saved > 0 {
		k.Saved = time.UnixMilli(saved)
	}
	if data == "" {
		return k, nil
	}
	snap, err := v.decode([]byte(data))
	if err != nil {
		k.Err = err
		return k, nil
	}
	k.Offset, k.States = snap.offset, snap.states
	return k, nil
}

// forget removes states from one snapshot and returns the names of those that it had.
func (v *vault) forget(ctx context.Context, input string, k kept, stages []string) (found []string, err error) {
	if !slices.ContainsFunc(stages, func(s string) bool { _, ok := k.States[s]; return ok }) {
		return nil, nil
	}
	owner := "dragonfly-state-forget " + rand.Text()
	snap, err := v.claim(ctx, k.Place, k.generation, owner, "") // it may be newer than what was read
	if err != nil || snap == nil {
		return nil, err
	}
	for _, s := range stages {
		if _, ok := snap.states[s]; ok {
			found = append(found, s)
			delete(snap.states, s)
		}
	}
	data, err := v.encode(input, k.Origin, snap)
	if err == nil {
		err = v.save(ctx, k.Place, k.generation, owner, snap.offset, data)
	}
	if err != nil {
		return nil, err
	}
	return found, nil
}
