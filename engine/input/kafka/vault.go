package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
)

// A snapshot is what the scripts of all stages keep of one partition, and the offset below which lies just what they have handled. It
// is in a hash of Redis, one per group and partition:
//
//	generation  of the group, when the partition was claimed or the snapshot written
//	owner       who claimed it last: nobody else may write
//	offset      of data, for people
//	saved       when data was written, in Unix ms
//	data        an engine.Cut in JSON, as in checkpoint.json, in a zstd frame with a checksum
//
// The keys of all partitions of a group are in a set, for `dragonfly state`: a cluster of Redis cannot be searched as a whole.
//
// Claiming and writing are scripts that Redis runs as one step. A member that was taken for dead while it slept finds another owner
// when it writes: that is the fence.

// claimScript takes KEYS[1] for ARGV[2] unless it belongs to a later generation than ARGV[1], or to the one ARGV[3] that is known to
// be of another life of the group.
const claimScript = `local had = redis.call('HMGET', KEYS[1], 'generation', 'owner', 'data')
if had[1] and tonumber(had[1]) > tonumber(ARGV[1]) and had[1] ~= ARGV[3] then return {'fenced', had[1], had[2] or ''} end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'owner', ARGV[2])
return {'claimed', had[3] or ''}`

// saveScript writes ARGV[3..5] if KEYS[1] belongs to ARGV[2], or nobody, and to no later generation than ARGV[1].
const saveScript = `local had = redis.call('HMGET', KEYS[1], 'generation', 'owner')
if had[2] and had[2] ~= ARGV[2] or had[1] and tonumber(had[1]) > tonumber(ARGV[1]) then return {'fenced', had[1] or '', had[2] or ''} end
redis.call('HSET', KEYS[1], 'generation', ARGV[1], 'owner', ARGV[2], 'offset', ARGV[3], 'saved', ARGV[4], 'data', ARGV[5])
return {'saved'}`

// Bounds of a snapshot in bytes.
const (
	maxPacked   = 256 << 20 // a value of Redis has 512 MiB at most
	maxUnpacked = 2 << 30
)

// fencedError says that another member has claimed the partition.
type fencedError struct{ generation, owner string }

func (e *fencedError) Error() string {
	return fmt.Sprintf("another member has claimed it: %q of generation %s", e.owner, e.generation)
}

var errTooLarge = fmt.Errorf("the states of a partition are longer than %d MiB when packed: keep less in `state` (sketches are bounded), or make more partitions", maxPacked>>20)

// vault is the Redis that holds snapshots. It is safe for all goroutines.
type vault struct {
	redis  engine.RedisConn
	pack   *zstd.Encoder
	unpack *zstd.Decoder
	wg     sync.WaitGroup // commands that nobody waits for any more

	mu     sync.Mutex
	faults map[string]bool // origins of partitions whose last command failed
	told   time.Time       // of that; zero: it is not
}

// unansweredError says that Redis did not carry out a command.
type unansweredError struct{ error }

func (e unansweredError) Unwrap() error { return e.error }

// fault notes that a command for a partition failed, and reports whether to tell: once for all partitions.
func (v *vault) fault(origin string) (tell bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults[origin] = true
	if tell = time.Since(v.told) >= tellAgain; tell {
		v.told = time.Now()
	}
	return tell
}

// works notes that commands for a partition are answered, or no longer wanted, and reports whether that was the last fault.
func (v *vault) works(origin string) (tell bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if delete(v.faults, origin); len(v.faults) > 0 || v.told.IsZero() {
		return false
	}
	v.told = time.Time{}
	return true
}

func newVault(redis engine.RedisConn) (*vault, error) {
	pack, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	unpack, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked))
	return &vault{redis: redis, pack: pack, unpack: unpack, faults: map[string]bool{}}, err
}

func (v *vault) close() error {
	err := v.redis.Close()
	v.wg.Wait()
	v.unpack.Close()
	return err
}

// keyOf is where the snapshots of a partition are.
func keyOf(group, topic string, partition int32) string {
	return fmt.Sprintf("dragonfly:state:%s:%s:%d", group, topic, partition)
}

// indexOf is the set of the keys of a group.
func indexOf(group string) string { return "dragonfly:states:" + group }

// do carries out a command. It returns early when ctx is done; the command may be carried out all the same.
func (v *vault) do(ctx context.Context, args ...string) (any, error) {
	type answer struct {
		reply any
		err   error
	}
	got := make(chan answer, 1)
	v.wg.Go(func() {
		reply, err := v.redis.Do(args...)
		got <- answer{reply, err}
	})
	select {
	case a := <-got:
		if a.err != nil {
			return nil, unansweredError{a.err}
		}
		return a.reply, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// list is do for a command that is answered with a list.
func (v *vault) list(ctx context.Context, args ...string) ([]any, error) {
	reply, err := v.do(ctx, args...)
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok {
		return nil, unansweredError{fmt.Errorf("unexpected reply %v", reply)}
	}
	return list, nil
}

// eval lets Redis run a script on a key, as do does.
func (v *vault) eval(ctx context.Context, script, key string, args ...string) ([]any, error) {
	list, err := v.list(ctx, append([]string{"EVAL", script, "1", key}, args...)...)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, unansweredError{errors.New("unexpected empty reply")}
	case list[0] == "fenced" && len(list) == 3:
		return nil, &fencedError{fmt.Sprint(list[1]), fmt.Sprint(list[2])}
	}
	return list, nil
}

// enter notes a key of a group.
func (v *vault) enter(ctx context.Context, group, key string) error {
	_, err := v.do(ctx, "SADD", indexOf(group), key)
	return err
}

// claim makes owner the one who may write, and returns the last snapshot: nil if there is none. Except for the generation other, a later
// one is a *fencedError.
func (v *vault) claim(ctx context.Context, key string, generation int32, owner, other string) (*snapshot, error) {
	list, err := v.eval(ctx, claimScript, key, strconv.Itoa(int(generation)), owner, other)
	if err != nil {
		return nil, err
	}
	data, ok := list[len(list)-1].(string)
	if !ok || len(list) != 2 {
		return nil, errors.New("unexpected reply of redis")
	}
	if data == "" {
		return nil, nil
	}
	s, err := v.decode([]byte(data))
	if err != nil {
		return nil, fmt.Errorf("its snapshot cannot be read, and `redis-cli DEL %s` would forget it: %w", key, err)
	}
	return s, nil
}

// save writes a snapshot.
func (v *vault) save(ctx context.Context, key string, generation int32, owner string, offset int64, data []byte) error {
	_, err := v.eval(ctx, saveScript, key, strconv.Itoa(int(generation)), owner, strconv.FormatInt(offset, 10),
		strconv.FormatInt(time.Now().UnixMilli(), 10), string(data))
	return err
}

// snapshot is one of one partition.
type snapshot struct {
	offset int64
	states map[string]engine.StageState
}

// encode packs a snapshot of the partition at origin, read by an input.
func (v *vault) encode(input, origin string, s *snapshot) ([]byte, error) {
	cut := engine.NewCut(map[string][]engine.Position{input: {{Path: origin, Offset: s.offset}}}, s.states)
	text, err := json.Marshal(cut)
	if err != nil {
		return nil, err
	}
	if packed := v.pack.EncodeAll(text, nil); len(packed) <= maxPacked {
		return packed, nil
	}
	return nil, errTooLarge
}

func (v *vault) decode(data []byte) (*snapshot, error) {
	text, err := v.unpack.DecodeAll(data, nil)
	if err != nil {
		return nil, err
	}
	cut, err := engine.ReadCut(text)
	if err != nil {
		return nil, err
	}
	for _, list := range cut.Inputs {
		if len(cut.Inputs) == 1 && len(list) == 1 {
			return &snapshot{list[0].Offset, cut.States}, nil
		}
	}
	return nil, errors.New("it is of no partition")
}
