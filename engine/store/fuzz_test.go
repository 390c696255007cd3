package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// snapshotFile is a file with one block, whose checksum is right.
func snapshotFile(block []byte, records uint32) []byte {
	b := []byte(fileMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(block)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(block, castagnoli))
	b = append(b, block...)
	b = binary.LittleEndian.AppendUint32(b, lastBlock)
	return binary.LittleEndian.AppendUint32(b, records)
}

// written are commands that make a value of each type.
var written = []string{"SET s text", "SET n 12", "SETRANGE bits 5 x", "HSET h f v g w", "RPUSH l a b c", "SADD set 1 2 x", "ZADD z 1.5 a -inf b", "PFADD hll a b c", "XADD st 5-1 f v",
	"ML.LINREG.SET lr 1 2 3", "ML.KMEANS.SET km 2 1 0 10", "ML.MATRIX.SET m 1 2 3 4", "ML.FOREST.ADD f 0 . NUMERIC 1 0.5 .l LEAF 0 .r CATEGORIC color red:blue .rl LEAF 1 STATS 1:3 .rr LEAF 2"}

// asked are commands for any key: most of them answer that the type is wrong.
var asked = []string{"TYPE", "GET", "STRLEN", "INCR", "GETRANGE % 0 -1", "BITCOUNT", "HGETALL", "HSET % new v", "LRANGE % 0 -1", "LPUSH % new", "LPOP", "SMEMBERS", "SADD % new", "SPOP", "ZRANGE % 0 -1 WITHSCORES",
	"ZADD % 3 new", "ZRANK % new", "ZPOPMIN", "PFCOUNT", "PFADD % new", "XRANGE % - +", "XADD % * f v", "XLEN", "ML.LINREG.PREDICT % 1 2", "ML.LOGREG.PREDICT % 1 2", "ML.KMEANS.PREDICT % 1", "ML.MATRIX.GET",
	"ML.MATRIX.ADD % % other", "ML.FOREST.RUN % 1:1,color:red", "ML.FOREST.RUN % color:blue REGRESSION", "COPY % copy", "RENAME % new", "OBJECT ENCODING new", "EXPIRE new 100", "TTL new"}

// FuzzSnapshotFile: a file whose checksums are right and whose records are anything is damaged, or its keys answer all
// commands and survive being written and read again.
func FuzzSnapshotFile(f *testing.F) {
	for _, line := range written {
		s := open(f, Options{})
		do(s.Conn(), line)
		var e encoder
		for i := range s.shards {
			for key, en := range s.shards[i].keys {
				e.record(key, en)
			}
		}
		f.Add(e.b, uint32(1))
	}
	f.Fuzz(func(t *testing.T, block []byte, records uint32) {
		if len(block) == 0 {
			return
		}
		s := open(t, Options{})
		if err := s.read(bytes.NewReader(snapshotFile(block, records))); err != nil {
			var damaged *damageError
			if !errors.As(err, &damaged) {
				t.Fatalf("%q: %v", block, err)
			}
			return
		}
		var first, second bytes.Buffer
		var seen [shardCount]uint64
		if err := s.snapshot(&first, &seen); err != nil {
			t.Fatal(err)
		}
		again := open(t, Options{})
		if err := again.read(bytes.NewReader(first.Bytes())); err != nil {
			t.Fatalf("%q: written again it is damaged: %v", block, err)
		}
		if err := again.snapshot(&second, &seen); err != nil || first.Len() != second.Len() {
			t.Fatalf("%q: %d bytes, written again %d, %v", block, first.Len(), second.Len(), err)
		}
		c := s.Conn()
		for _, key := range c.Do([]string{"KEYS", "*"}).Elems {
			for _, line := range asked {
				if !strings.Contains(line, "%") && !strings.Contains(line, "new") {
					line += " %"
				}
				args := strings.Fields(line)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "%", key.Str)
				}
				out := AppendReply(nil, c.Do(args))
				if n := lines(out); n != len(out) {
					t.Fatalf("%q: %q answers %q", block, args, out)
				}
			}
			c.Do([]string{"RENAME", "new", key.Str})
		}
	})
}

// FuzzModels: whatever the arguments of the commands of models, each answers, and what is stored survives a snapshot.
func FuzzModels(f *testing.F) {
	for _, line := range written {
		if strings.HasPrefix(line, "ML.") {
			f.Add(line + "\n" + strings.Join([]string{"ML.FOREST.RUN f 1:1,color:red", "ML.KMEANS.PREDICT km 7", "ML.LINREG.PREDICT lr 1 2", "ML.MATRIX.MULTIPLY m m x", "ML.MATRIX.SCALE m 2"}, "\n"))
		}
	}
	for _, s := range []string{"ML.MATRIX.SET m 1000000 1000000 1", "ML.MATRIX.SET m -1 -1", "ML.KMEANS.SET k 9223372036854775807 2 1", "ML.FOREST.ADD f 0 .llllllll LEAF 1", "ML.FOREST.ADD f 99999999 . LEAF 1",
		"ML.FOREST.ADD f 0 . NUMERIC a nan .l LEAF inf .r LEAF -inf\nML.FOREST.RUN f a:nan", "ML.FOREST.ADD f 0 . LEAF 1 STATS 1:2,3:4\nML.FOREST.RUN f a:1 CLASSIFICATION", "ML.LOGREG.SET l 1e400 nan\nML.LOGREG.PREDICT l inf"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "\n") > 20 || len(text) > 2000 {
			return
		}
		s := open(t, Options{})
		c := s.Conn()
		for line := range strings.Lines(text) {
			args := strings.Split(strings.TrimSuffix(line, "\n"), " ")
			if !strings.HasPrefix(strings.ToLower(args[0]), "ml.") {
				continue
			}
			out := AppendReply(nil, c.Do(args))
			if n := lines(out); n != len(out) {
				t.Fatalf("%q answers %q", args, out)
			}
		}
		for i := range s.shards {
			for key, e := range s.shards[i].keys {
				var first, second encoder
				first.value(e.val)
				copied, err := clone(e.val)
				if err != nil {
					t.Fatalf("%q: %s cannot be copied: %v", text, key, err)
				}
				if second.value(copied); !slices.Equal(first.b, second.b) || copied.bytes() != e.val.bytes() {
					t.Fatalf("%q: %s changes when it is copied: %q, %q; %d and %d bytes", text, key, first.b, second.b, e.val.bytes(), copied.bytes())
				}
			}
		}
	})
}
