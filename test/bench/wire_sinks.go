package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/parquet-go/parquet-go"
	"github.com/redis/go-redis/v9"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine/lazyjson"
)

// The sinks. Those that are servers within this program read strictly and throw away.

// counted is a rig whose sink counts in n.
func counted(n *atomic.Int64, r rig) *rig {
	r.count = func() (int64, error) { return n.Load(), nil }
	r.reset = func() error { n.Store(0); return nil }
	return &r
}

// serve runs f for each connection of l.
func serve(l net.Listener, f func(c net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { defer c.Close(); f(c) }()
	}
}

func startUnix(dir string) (*rig, error) {
	path := filepath.Join(dir, "sink")
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	n := new(atomic.Int64)
	go serve(l, func(c net.Conn) {
		buf := make([]byte, 256<<10)
		for {
			k, err := c.Read(buf)
			n.Add(int64(bytes.Count(buf[:k], []byte{'\n'})))
			if err != nil {
				return
			}
		}
	})
	return counted(n, rig{uri: "unix://" + path, at: path, stop: func() { l.Close() }}), nil
}

// startSyslog is a server of RFC 5424 messages with octet counting.
func startSyslog(string) (*rig, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := new(atomic.Int64)
	go serve(l, func(c net.Conn) {
		r := bufio.NewReaderSize(c, 256<<10)
		for {
			length, err := r.ReadSlice(' ')
			if err != nil {
				return
			}
			size, err := strconv.Atoi(string(length[:len(length)-1]))
			if err != nil {
				return
			}
			if head, err := r.Peek(min(size, 8)); err != nil || head[0] != '<' || !bytes.Contains(head, []byte(">1 ")) {
				return
			}
			if _, err := r.Discard(size); err != nil {
				return
			}
			n.Add(1)
		}
	})
	return counted(n, rig{uri: "syslog+tcp://" + l.Addr().String(), at: l.Addr().String(), stop: func() { l.Close() }}), nil
}

// startBulk is a server of the bulk API: it parses what an Elasticsearch must.
func startBulk(string) (*rig, error) {
	n := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		b.Grow(max(0, int(r.ContentLength)))
		if _, err := b.ReadFrom(r.Body); err != nil || !strings.HasPrefix(r.URL.Path, "/_bulk") {
			http.Error(w, "no bulk request", http.StatusBadRequest)
			return
		}
		var answer bytes.Buffer
		answer.WriteString(`{"errors":false,"items":[`)
		count := int64(0)
		var index []lazyjson.Field
		for text := b.String(); text != ""; count++ {
			action, rest, _ := strings.Cut(text, "\n")
			document, rest, ok := strings.Cut(rest, "\n")
			text = rest
			var err error
			if index, err = lazyjson.IndexObject(index[:0], action); err == nil && len(index) == 1 && index[0].Key(action) == "create" {
				index, err = lazyjson.IndexObject(index[:0], document)
			}
			if err != nil || !ok || lazyjson.Find(index, document, "@timestamp") == nil {
				http.Error(w, fmt.Sprintf("document %d is wrong: %v", count, err), http.StatusBadRequest)
				return
			}
			if count > 0 {
				answer.WriteByte(',')
			}
			answer.WriteString(`{"create":{"status":201}}`)
		}
		answer.WriteString("]}")
		n.Add(count)
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer.Bytes())
	}))
	return counted(n, rig{uri: "elasticsearch://" + strings.TrimPrefix(s.URL, "http://"), at: s.URL, stop: s.Close}), nil
}

// startForward is a server of the forward protocol that acks chunks of which it has read each entry.
func startForward(string) (*rig, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := new(atomic.Int64)
	go serve(l, func(c net.Conn) {
		r := msgp.NewReaderSize(c, 256<<10)
		var message []byte
		var unzip gzip.Reader
		for {
			raw := msgp.Raw(message[:0])
			if raw.DecodeMsg(r) != nil {
				return
			}
			message = raw
			count, id, err := readChunk(raw, &unzip)
			if err != nil {
				return
			}
			n.Add(count)
			ack := msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "ack"), id)
			if _, err := c.Write(ack); err != nil {
				return
			}
		}
	})
	return counted(n, rig{uri: "forward://" + l.Addr().String(), at: l.Addr().String(), stop: func() { l.Close() }}), nil
}

// readChunk counts the entries of a CompressedPackedForward message.
func readChunk(b []byte, unzip *gzip.Reader) (count int64, id string, err error) {
	if _, b, err = msgp.ReadArrayHeaderBytes(b); err != nil {
		return 0, "", err
	}
	if b, err = msgp.Skip(b); err != nil { // tag
		return 0, "", err
	}
	packed, b, err := msgp.ReadBytesZC(b)
	if err != nil {
		return 0, "", err
	}
	options, _, err := msgp.ReadMapStrIntfBytes(b, nil)
	if err != nil {
		return 0, "", err
	}
	id, _ = options["chunk"].(string)
	if err := unzip.Reset(bytes.NewReader(packed)); err != nil {
		return 0, "", err
	}
	entries, err := io.ReadAll(unzip)
	for ; len(entries) > 0 && err == nil; count++ {
		entries, err = msgp.Skip(entries)
	}
	return count, id, err
}

// sqliteColumns are the columns that the output has by default, and the plain client too.
const sqliteColumns = `"timestamp","event_type","src_ip","src_port","dest_ip","dest_port","proto","app_proto","flow_id","community_id"`

func startSQLite(name string) func(dir string) (*rig, error) {
	return func(dir string) (*rig, error) {
		path := filepath.Join(dir, "eve.db")
		r := &rig{uri: "sqlite://" + path, at: path, stop: func() {}, reset: func() error {
			for _, end := range []string{"", "-wal", "-shm"} {
				os.Remove(path + end)
			}
			return nil
		}}
		if name == "sqlite-event" {
			r.options = "columns = {}, index = {}, "
		}
		r.count = func() (n int64, err error) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return 0, err
			}
			defer db.Close()
			return n, db.QueryRow("SELECT count(*) FROM events").Scan(&n)
		}
		return r, nil
	}
}

func startRedisSink(kind string) func(dir string) (*rig, error) {
	return func(dir string) (*rig, error) {
		socket, stop, err := startRedis(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAbsent, err)
		}
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: socket, ReadTimeout: time.Minute})
		ctx := context.Background()
		return &rig{uri: "redis://" + socket, options: fmt.Sprintf("key = \"eve\", type = %q, ", kind), at: socket, stop: func() { c.Close(); stop() },
			reset: func() error { return c.FlushAll(ctx).Err() },
			count: func() (int64, error) {
				if kind == "list" {
					return c.LLen(ctx, "eve").Result()
				}
				return c.XLen(ctx, "eve").Result()
			}}, nil
	}
}

func startNATS(dir string) (*rig, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: dir})
	if err != nil {
		return nil, err
	}
	s.Start()
	stop := func() { s.Shutdown(); s.WaitForShutdown() }
	if !s.ReadyForConnections(30 * time.Second) {
		stop()
		return nil, fmt.Errorf("nats-server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		stop()
		return nil, err
	}
	ctx := context.Background()
	js, err := jetstream.New(nc)
	if err != nil {
		stop()
		return nil, err
	}
	// a stream of its own for each run: an id is known for as long as its stream is
	reset := func() error {
		js.DeleteStream(ctx, "EVE")
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVE", Subjects: []string{"eve"}, Storage: jetstream.MemoryStorage})
		return err
	}
	count := func() (int64, error) {
		st, err := js.Stream(ctx, "EVE")
		if err != nil {
			return 0, err
		}
		return int64(st.CachedInfo().State.Msgs), nil
	}
	return &rig{uri: s.ClientURL() + "/eve", at: s.ClientURL(), stop: func() { nc.Close(); stop() }, reset: reset, count: count}, nil
}

func startArchive(dir string) (*rig, error) {
	at := filepath.Join(dir, "archive")
	return &rig{uri: "archive://" + at + "/{event_type}/%Y-%m-%d.json", options: `time = "arrival", `, at: at, stop: func() {}, reset: func() error { return os.RemoveAll(at) },
		count: func() (n int64, err error) {
			return n, filepath.WalkDir(at, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				text, err := os.ReadFile(path)
				n += int64(bytes.Count(text, []byte{'\n'}))
				return err
			})
		}}, nil
}

// parquetColumns are what both clients write, beside the event.
const parquetColumns = `["timestamp:time","event_type","src_ip","src_port:int","dest_ip","dest_port:int","proto","app_proto","flow_id:int","community_id"]`

func startParquet(dir string) (*rig, error) {
	at := filepath.Join(dir, "parquet")
	var list []string
	if err := json.Unmarshal([]byte(parquetColumns), &list); err != nil {
		return nil, err
	}
	return &rig{uri: "parquet://" + at, options: fmt.Sprintf("partition = \"\", columns = {%s}, ", strings.Trim(parquetColumns, "[]")), at: at, stop: func() {},
		reset: func() error { return os.RemoveAll(at) },
		count: func() (n int64, err error) {
			names, err := filepath.Glob(filepath.Join(at, "*.parquet"))
			for _, name := range names {
				f, err := os.Open(name)
				if err != nil {
					return 0, err
				}
				info, err := f.Stat()
				if err == nil {
					var p *parquet.File
					if p, err = parquet.OpenFile(f, info.Size()); err == nil {
						n += p.NumRows()
					}
				}
				f.Close()
				if err != nil {
					return 0, err
				}
			}
			return n, err
		}}, nil
}
