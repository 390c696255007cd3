package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/parquet-go/parquet-go"
)

// stopped starts a program that is made to stand still.
func stopped(t *testing.T, cmd *exec.Cmd) (stop, goOn func()) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return func() { cmd.Process.Signal(syscall.SIGSTOP) }, func() { cmd.Process.Signal(syscall.SIGCONT) }
}

func rsyslogStopped(t *testing.T) *outageSink {
	program, err := exec.LookPath("rsyslogd")
	if err != nil {
		if program = "/usr/sbin/rsyslogd"; !exists(program) {
			skip(t, "rsyslogd is not installed (test/setup.sh)")
		}
	}
	r, port := &root{t, t.TempDir()}, freePort(t)
	r.write("conf", `global(workDirectory="$ROOT" maxMessageSize="64k")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="`+port+`")
template(name="message" type="string" string="%msg%\n")
action(type="omfile" file="$ROOT/out" template="message" flushOnTXEnd="on")
`)
	stop, start := stopped(t, exec.Command(program, "-n", "-f", r.path("conf"), "-i", r.path("pid")))
	return &outageSink{row: `{tag = "out", uri = "syslog+tcp://127.0.0.1:` + port + `", write_timeout = 60}`, silent: true, stop: stop, start: start, slow: true,
		seen: func() map[int]int {
			var got tally
			text := r.read("out")
			got.add(idsIn(text[:strings.LastIndexByte(text, '\n')+1])...)
			return got.seen()
		}}
}

// forwardAway is a second dragonfly, which is killed.
func forwardAway(t *testing.T) *outageSink {
	address := "127.0.0.1:" + freePort(t)
	end := passThrough(t, "forward://"+address+`", hostname = "central`)
	e := end.start()
	return &outageSink{row: `{tag = "out", uri = "forward://` + address + `", hostname = "agent"}`, slow: true, twice: 2 * batchSize, // a batch of ours, one of its
		stop: func() { e.kill() }, start: func() { e = end.start() }, seen: func() map[int]int { return end.ids("log/out.json") }}
}

func kafkaAway(t *testing.T) *outageSink {
	b := startKafka(t)
	b.topic("out", 3)
	return &outageSink{row: `{tag = "out", uri = "kafka://` + b.address + `/out"}`, stop: b.stop, start: b.start, slow: true,
		seen: func() map[int]int { return b.ids("out") }}
}

// ids reads all that is in a topic, as far as the broker answers.
func (b *broker) ids(topic string) map[int]int {
	var got tally
	conf := sarama.NewConfig()
	conf.Version = sarama.V2_8_0_0
	conf.Metadata.Retry.Max = 0
	client, err := sarama.NewClient([]string{b.address}, conf)
	if err != nil {
		return nil
	}
	defer client.Close()
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil
	}
	partitions, err := client.Partitions(topic)
	if err != nil {
		return nil
	}
	for _, n := range partitions {
		end, err := client.GetOffset(topic, n, sarama.OffsetNewest)
		if err != nil || end == 0 {
			continue
		}
		pc, err := consumer.ConsumePartition(topic, n, sarama.OffsetOldest)
		if err != nil {
			continue
		}
		for more := true; more; {
			select {
			case m := <-pc.Messages():
				got.add(idsIn(string(m.Value))...)
				more = m.Offset < end-1
			case <-time.After(20 * time.Second):
				more = false
			}
		}
		pc.Close()
	}
	return got.seen()
}

func redisAway(t *testing.T, kind string) *outageSink {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	command := []string{"LRANGE", "eve", "0", "-1"}
	if kind == "stream" {
		command = []string{"XRANGE", "eve", "-", "+"}
	}
	var last map[int]int
	return &outageSink{row: `{tag = "out", uri = "redis://` + s.socket() + `", key = "eve", type = "` + kind + `"}`, stop: s.kill, slow: true, twice: batchSize,
		start: s.start,
		seen: func() map[int]int {
			out, err := exec.Command("redis-cli", append([]string{"-s", s.socket(), "--raw"}, command...)...).Output()
			if err != nil || strings.HasPrefix(string(out), "LOADING") {
				return last
			}
			var got tally
			got.add(idsIn(string(out))...)
			last = got.seen()
			return last
		}}
}

// subscribe returns what redis-cli gets that has subscribed to a channel.
func subscribe(t *testing.T, s *redisServer, channel string) *tally {
	t.Helper()
	subscriber := exec.Command("redis-cli", "-s", s.socket(), "SUBSCRIBE", channel)
	out, err := subscriber.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stopped(t, subscriber)
	got := new(tally)
	ready := make(chan struct{})
	go func() {
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.TrimSpace(line) == "subscribe" {
				close(ready)
			}
			got.add(idsIn(line)...)
		}
	}()
	select {
	case <-ready:
	case <-time.After(30 * time.Second):
		t.Fatal("no subscription")
	}
	return got
}

func redisChannelStopped(t *testing.T) *outageSink {
	s := newRedis(t)
	got := subscribe(t, s, "eve")
	server := s.Cmd.Process
	return &outageSink{row: `{tag = "out", uri = "redis://` + s.socket() + `", key = "eve", type = "channel"}`, silent: true, twice: 4 * batchSize, // a batch per timeout of 5 s
		stop: func() { server.Signal(syscall.SIGSTOP) }, start: func() { server.Signal(syscall.SIGCONT) }, seen: got.seen}
}

// natsAway is a nats-server in the test; the client asks it what is in the stream.
func natsAway(t *testing.T) *outageSink {
	port, _ := strconv.Atoi(freePort(t))
	o := server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()}
	var s *server.Server
	start := func() {
		opts := o
		srv, err := server.NewServer(&opts)
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		if !srv.ReadyForConnections(60 * time.Second) {
			t.Fatal("nats-server does not start")
		}
		s = srv
	}
	stop := func() { s.Shutdown(); s.WaitForShutdown() }
	start()
	t.Cleanup(stop)
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "EVE", Subjects: []string{"eve"}}); err != nil {
		t.Fatal(err)
	}
	within := func() (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 10*time.Second) }
	return &outageSink{row: `{tag = "out", uri = "` + s.ClientURL() + `/eve"}`, stop: stop, start: start, slow: true,
		count: func() int {
			ctx, cancel := within()
			defer cancel()
			stream, err := js.Stream(ctx, "EVE")
			if err != nil {
				return 0
			}
			return int(stream.CachedInfo().State.Msgs)
		},
		seen: func() map[int]int {
			ctx, cancel := within()
			defer cancel()
			var got tally
			c, err := js.OrderedConsumer(ctx, "EVE", jetstream.OrderedConsumerConfig{})
			if err != nil {
				return nil
			}
			for {
				messages, err := c.FetchNoWait(5000)
				if err != nil {
					return nil
				}
				n := 0
				for m := range messages.Messages() {
					got.add(idsIn(string(m.Data()))...)
					n++
				}
				if n == 0 {
					return got.seen()
				}
			}
		}}
}

// sqliteAway is a database that the program sqlite3 locks.
func sqliteAway(t *testing.T) *outageSink {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		skip(t, "sqlite3 is not installed")
	}
	path := filepath.Join(t.TempDir(), "eve.db")
	var lock *exec.Cmd
	var in io.WriteCloser
	t.Cleanup(func() {
		if lock != nil {
			lock.Process.Kill()
			lock.Wait()
		}
	})
	return &outageSink{row: `{tag = "out", uri = "sqlite://` + path + `"}`, slow: true,
		stop: func() {
			cmd := exec.Command("sqlite3", "-batch", "-init", "/dev/null", path)
			var err error
			if in, err = cmd.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lock = cmd
			io.WriteString(in, ".timeout 60000\nBEGIN EXCLUSIVE;\nSELECT 'locked';\n")
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "locked\n" {
				t.Fatalf("%q, %v", line, err)
			}
		},
		start: func() {
			io.WriteString(in, "COMMIT;\n")
			in.Close()
			if err := lock.Wait(); err != nil {
				t.Fatal(err)
			}
			lock = nil
		},
		seen: func() map[int]int {
			var got tally
			text, err := exec.Command("sqlite3", "-batch", "-init", "/dev/null", "-cmd", ".timeout 20000", path, "SELECT event FROM events").Output()
			if err != nil { // the table is not there yet
				return nil
			}
			got.add(idsIn(string(text))...)
			return got.seen()
		}}
}

// fullDisk is a file system that is filled up by others and then has room again.
func fullDisk(t *testing.T) (disk *root, fill, free func()) {
	disk = &root{t, t.TempDir()}
	disk.smallDisk("disk", "size=32m")
	fill = func() {
		f, err := os.Create(disk.path("disk/.filler"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for size := 1 << 20; size > 0; {
			if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
				size /= 2
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	return disk, fill, func() { os.Remove(disk.path("disk/.filler")) }
}

func archiveAway(t *testing.T) *outageSink {
	disk, fill, free := fullDisk(t)
	return &outageSink{row: `{tag = "out", uri = "archive://` + disk.path("disk") + `/%Y/{event_type}.json"}`, stop: fill, start: free, slow: true,
		seen: func() map[int]int {
			seen := map[int]int{}
			disk.walk("disk", ".json", func(path string, f *os.File) error {
				text, err := io.ReadAll(f)
				if err != nil {
					return err
				}
				whole := string(text[:strings.LastIndexByte(string(text), '\n')+1])
				return ids(json.NewDecoder(strings.NewReader(whole)), seen)
			})
			return seen
		}}
}

func parquetAway(t *testing.T) *outageSink {
	disk, fill, free := fullDisk(t)
	return &outageSink{row: `{tag = "out", uri = "parquet://` + disk.path("disk") + `", partition = "", every = "500ms"}`, stop: fill, start: free, slow: true,
		seen: func() map[int]int {
			var got tally
			disk.walk("disk", ".parquet", func(path string, f *os.File) error {
				info, err := f.Stat()
				if err != nil {
					return err
				}
				type row struct {
					Event string `parquet:"event,optional"`
				}
				rows, err := parquet.Read[row](f, info.Size())
				for _, row := range rows {
					got.add(idsIn(row.Event)...)
				}
				return err
			})
			return got.seen()
		}}
}
