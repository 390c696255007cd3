package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/fluent-forward-go/fluent/client"
	"github.com/IBM/fluent-forward-go/fluent/protocol"
	"github.com/IBM/sarama"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/parquet-go/parquet-go"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // its driver

	"dragonfly/engine/lazyjson"
)

// The plain clients: what somebody would write who wants to send a file to the sink and nothing else.

// plainBatch is how many lines they send at once, as many as the engine does at most.
const plainBatch = 1024

var plains = map[string]func(in *feed, at string) error{
	"unix": plainUnix, "syslog": plainSyslog, "kafka": plainKafka, "sqlite": plainSQLite(true), "sqlite-event": plainSQLite(false), "bulk": plainBulk,
	"redis-list": plainRedis(true), "redis-stream": plainRedis(false), "nats": plainNATS, "forward": plainForward, "archive": plainArchive, "parquet": plainParquet,
}

func runPlain() error {
	f, err := os.Open(*plainIn)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(make([]byte, 1<<20), 16<<20)
	do := plains[*plain]
	if do == nil {
		return fmt.Errorf("no plain client %q", *plain)
	}
	return do(&feed{lines: s}, *plainAt)
}

// feed gives the lines of a file.
type feed struct {
	lines *bufio.Scanner
	batch []string
}

// next returns up to plainBatch lines, none at the end; the slice is used again.
func (f *feed) next() ([]string, error) {
	f.batch = f.batch[:0]
	for len(f.batch) < plainBatch && f.lines.Scan() {
		f.batch = append(f.batch, f.lines.Text())
	}
	return f.batch, f.lines.Err()
}

// each calls do with each batch.
func (f *feed) each(do func(batch []string) error) error {
	for {
		batch, err := f.next()
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := do(batch); err != nil {
			return err
		}
	}
}

func plainUnix(in *feed, at string) error {
	c, err := net.Dial("unix", at)
	if err != nil {
		return err
	}
	defer c.Close()
	var buf []byte
	return in.each(func(batch []string) error {
		buf = buf[:0]
		for _, line := range batch {
			buf = append(append(buf, line...), '\n')
		}
		_, err := c.Write(buf)
		return err
	})
}

func plainSyslog(in *feed, at string) error {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer c.Close()
	host, _ := os.Hostname()
	var buf, message []byte
	return in.each(func(batch []string) error {
		buf = buf[:0]
		for _, line := range batch {
			message = append(message[:0], "<134>1 "...)
			message = append(message, text(line, "timestamp")...)
			message = append(append(append(message, ' '), host...), " dragonfly - - - "...)
			message = append(message, line...)
			buf = append(strconv.AppendInt(buf, int64(len(message)), 10), ' ')
			buf = append(buf, message...)
		}
		_, err := c.Write(buf)
		return err
	})
}

// text finds a string of the event in the quickest way there is.
func text(line, key string) string {
	at := strings.Index(line, `"`+key+`":"`)
	if at < 0 {
		return ""
	}
	value, _, _ := strings.Cut(line[at+len(key)+4:], `"`)
	return value
}

func plainKafka(in *feed, at string) error {
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Producer.RequiredAcks, conf.Producer.Compression = sarama.WaitForAll, sarama.CompressionLZ4
	conf.Producer.Idempotent, conf.Net.MaxOpenRequests = true, 1
	conf.Producer.Partitioner = sarama.NewMurmur2Partitioner
	conf.Producer.Return.Successes = true
	p, err := sarama.NewAsyncProducer([]string{at}, conf)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		sent <- in.each(func(batch []string) error {
			for _, line := range batch {
				p.Input() <- &sarama.ProducerMessage{Topic: kafkaTopic, Key: sarama.StringEncoder(text(line, "src_ip")), Value: sarama.StringEncoder(line)}
			}
			return nil
		})
		p.AsyncClose()
	}()
	failed := make(chan error, 1)
	go func() {
		var first error
		for err := range p.Errors() {
			first = err
		}
		failed <- first
	}()
	for range p.Successes() {
	}
	return errors.Join(<-sent, <-failed)
}

func plainSQLite(columns bool) func(in *feed, at string) error {
	return func(in *feed, at string) error {
		db, err := sql.Open("sqlite", "file://"+at+"?_txlock=immediate")
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		declared, marks, names := "", "?, ?", []string{}
		if columns {
			declared, marks = ","+sqliteColumns, "?, ?"+strings.Repeat(", ?", 10)
			names = strings.Split(strings.ReplaceAll(sqliteColumns, `"`, ""), ",")
		}
		setup := []string{"PRAGMA temp_store = MEMORY", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "CREATE TABLE events (time INTEGER" + declared + ", event TEXT)"}
		if columns {
			for _, name := range []string{"time", "event_type", "src_ip", "dest_ip"} {
				setup = append(setup, "CREATE INDEX i_"+name+" ON events ("+name+")")
			}
		}
		for _, text := range setup {
			if _, err := db.Exec(text); err != nil {
				return err
			}
		}
		insert, err := db.Prepare("INSERT INTO events VALUES (" + marks + ")")
		if err != nil {
			return err
		}
		var index []lazyjson.Field
		var args []any
		return in.each(func(batch []string) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			stmt := tx.Stmt(insert)
			for _, line := range batch {
				at, _ := time.Parse("2006-01-02T15:04:05.999999999-0700", text(line, "timestamp"))
				args = append(args[:0], at.UnixMicro())
				if columns {
					index, _ = lazyjson.IndexObject(index[:0], line)
				}
				for _, name := range names {
					args = append(args, valueOf(line, lazyjson.Find(index, line, name)))
				}
				if _, err := stmt.Exec(append(args, line)...); err != nil {
					return err
				}
			}
			return tx.Commit()
		})
	}
}

func valueOf(line string, f *lazyjson.Field) any {
	if f == nil {
		return nil
	}
	if f.Kind == lazyjson.String {
		return f.Text(line)
	}
	n, _ := strconv.ParseInt(f.Raw(line), 10, 64)
	return n
}

func plainBulk(in *feed, at string) error {
	var body []byte
	return in.each(func(batch []string) error {
		body = body[:0]
		for _, line := range batch {
			at, _ := time.Parse("2006-01-02T15:04:05.999999999-0700", text(line, "timestamp"))
			at = at.UTC()
			sum := sha256.Sum256([]byte(line))
			body = append(body, `{"create":{"_index":"dragonfly-`...)
			body = at.AppendFormat(body, "2006.01.02")
			body = append(body, `","_id":"`...)
			body = base64.RawURLEncoding.AppendEncode(body, sum[:16])
			body = append(body, "\"}}\n{\"@timestamp\":\""...)
			body = at.AppendFormat(body, "2006-01-02T15:04:05.000000000Z")
			body = append(append(append(body, `",`...), line[1:]...), '\n')
		}
		resp, err := http.Post(at+"/_bulk", "application/x-ndjson", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.HasPrefix(answer, []byte(`{"errors":false`)) {
			return fmt.Errorf("status %d: %v: %.200s", resp.StatusCode, err, answer)
		}
		return nil
	})
}

func plainRedis(list bool) func(in *feed, at string) error {
	return func(in *feed, at string) error {
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: at, ReadTimeout: time.Minute, WriteTimeout: time.Minute})
		defer c.Close()
		ctx := context.Background()
		return in.each(func(batch []string) error {
			if list {
				values := make([]any, len(batch))
				for i, line := range batch {
					values[i] = line
				}
				return c.LPush(ctx, "eve", values...).Err()
			}
			p := c.Pipeline()
			for _, line := range batch {
				p.XAdd(ctx, &redis.XAddArgs{Stream: "eve", Values: []string{"eve", line}})
			}
			_, err := p.Exec(ctx)
			return err
		})
	}
}

func plainNATS(in *feed, at string) error {
	nc, err := nats.Connect(at)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*plainBatch))
	if err != nil {
		return err
	}
	sent := 0
	return in.each(func(batch []string) error {
		futures := make([]jetstream.PubAckFuture, len(batch))
		for i, line := range batch {
			m := &nats.Msg{Subject: "eve", Data: []byte(line), Header: nats.Header{jetstream.MsgIDHeader: {strconv.Itoa(sent)}}}
			sent++
			if futures[i], err = js.PublishMsgAsync(m); err != nil {
				return err
			}
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case err := <-f.Err():
				return err
			}
		}
		return nil
	})
}

func plainForward(in *feed, at string) error {
	c := client.New(client.ConnectionOptions{Factory: &client.ConnFactory{Address: at}, RequireAck: true, ConnectionTimeout: time.Minute})
	if err := c.Connect(); err != nil {
		return err
	}
	defer c.Disconnect()
	return in.each(func(batch []string) error {
		var list protocol.EntryList
		for _, line := range batch {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				return err
			}
			at, _ := time.Parse("2006-01-02T15:04:05.999999999-0700", text(line, "timestamp"))
			list = append(list, protocol.EntryExt{Timestamp: protocol.EventTime{Time: at}, Record: record})
		}
		return c.SendCompressed("suricata", list)
	})
}

func plainArchive(in *feed, at string) error {
	files := map[string]*os.File{}
	parts := map[string][]byte{}
	err := in.each(func(batch []string) error {
		day := time.Now().UTC().Format("2006-01-02") // the corpus is of hundreds of days, a sensor's events are of one
		for _, line := range batch {
			name := text(line, "event_type") + "/" + day + ".json"
			parts[name] = append(append(parts[name], line...), '\n')
		}
		for name, part := range parts {
			if len(part) == 0 {
				continue
			}
			f := files[name]
			if f == nil {
				path := filepath.Join(at, name)
				err := os.MkdirAll(filepath.Dir(path), 0o755)
				if err == nil {
					f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
				}
				if err != nil {
					return err
				}
				files[name] = f
			}
			if _, err := f.Write(part); err != nil {
				return err
			}
			parts[name] = part[:0]
		}
		return nil
	})
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

func plainParquet(in *feed, at string) error {
	var columns []string
	if err := json.Unmarshal([]byte(parquetColumns), &columns); err != nil {
		return err
	}
	group := parquet.Group{"event": parquet.Optional(parquet.String())}
	for i, c := range columns {
		name, kind, _ := strings.Cut(c, ":")
		columns[i] = name
		group[name] = parquet.Optional(map[string]parquet.Node{"": parquet.String(), "int": parquet.Int(64), "time": parquet.Timestamp(parquet.Microsecond)}[kind])
	}
	columns = append(columns, "event")
	slices.Sort(columns) // as in the schema
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(at, "plain.parquet"))
	if err != nil {
		return err
	}
	w := parquet.NewWriter(f, parquet.NewSchema("eve", group), parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(122880))
	var index []lazyjson.Field
	rows := make([]parquet.Row, 0, plainBatch)
	err = in.each(func(batch []string) error {
		rows = rows[:len(batch)]
		for r, line := range batch {
			index, _ = lazyjson.IndexObject(index[:0], line)
			row := rows[r][:0]
			for i, name := range columns {
				var v parquet.Value
				switch name {
				case "event":
					v = parquet.ValueOf(line)
				case "timestamp":
					at, _ := time.Parse("2006-01-02T15:04:05.999999999-0700", text(line, "timestamp"))
					v = parquet.Int64Value(at.UnixMicro())
				default:
					v = parquet.ValueOf(valueOf(line, lazyjson.Find(index, line, name)))
				}
				level := 1
				if v.IsNull() {
					level = 0
				}
				row = append(row, v.Level(0, level, i))
			}
			rows[r] = row
		}
		_, err := w.WriteRows(rows)
		return err
	})
	return errors.Join(err, w.Close(), f.Sync(), f.Close())
}
