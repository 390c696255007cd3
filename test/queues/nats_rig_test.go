package queues

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	gonats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"dragonfly/test/parts"
)

// natsServer is a nats-server within the test.
type natsServer struct {
	t testing.TB
	o server.Options
	s *server.Server
}

// newNATS starts a server with JetStream on a free port; change may add to its options.
func newNATS(t testing.TB, change func(o *server.Options)) *natsServer {
	t.Helper()
	port, _ := strconv.Atoi(freePort(t)) // the same one after a restart
	s := &natsServer{t: t, o: server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true}}
	if change != nil {
		change(&s.o)
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *natsServer) start() {
	s.t.Helper()
	o := s.o
	srv, err := server.NewServer(&o)
	if err != nil {
		s.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(parts.Deadline) {
		s.t.Fatal("nats-server does not start")
	}
	s.s = srv
}

func (s *natsServer) stop() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
}

func (s *natsServer) uri(subject string) string {
	return "nats://" + strings.TrimPrefix(s.s.ClientURL(), "nats://") + "/" + subject
}

// client returns a plain client.
func (s *natsServer) client(options ...gonats.Option) (*gonats.Conn, jetstream.JetStream) {
	s.t.Helper()
	nc, err := gonats.Connect(s.s.ClientURL(), options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return nc, js
}

// stream makes a stream.
func (s *natsServer) stream(name, subjects string, max int32) jetstream.Stream {
	s.t.Helper()
	_, js := s.client()
	st, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}, MaxMsgSize: max})
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

func (s *natsServer) stored(name string) uint64 {
	s.t.Helper()
	_, js := s.client()
	st, err := js.Stream(context.Background(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := st.Info(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return info.State.Msgs
}

// pending is how many messages a consumer has not been sent, and how many it has not acknowledged.
func (s *natsServer) pending(stream, durable string) (unsent uint64, unacked int) {
	s.t.Helper()
	_, js := s.client()
	c, err := js.Consumer(context.Background(), stream, durable)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.CachedInfo().NumPending, c.CachedInfo().NumAckPending
}
