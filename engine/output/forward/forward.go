// Package forward sends events with the Fluent forward protocol, to fluentd, Fluent Bit or another of us: forward://. A chunk is
// delivered when the server has acked it.
package forward

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/peer"
	"dragonfly/engine/wire"
)

// port is what the protocol has by default.
const port = 24224

// Kind is forward://.
var Kind = engine.OutputKind{
	Doc: "`forward://HOST:PORT` (24224 if left out): sends events with the Fluent forward protocol to fluentd or Fluent Bit, in chunks of one tag. Delivered is what the server has acked. The event's timestamp is the record's time.",
	Options: append([]engine.Option{
		{Key: "tag", Type: engine.String, Default: "suricata", Doc: "Tag of the records."},
		{Key: "tag_field", Type: engine.String, Doc: "Field of the event whose text follows the tag and a dot: with `event_type` alerts have the tag suricata.alert."},
		{Key: "message_key", Type: engine.String, Doc: "Send a record with this only key, whose text is the event byte for byte, instead of one whose keys are the event's."},
		{Key: "require_ack", Type: engine.Bool, Default: true, Doc: "Ask for acks. Without, delivered is what was written, and what is on its way when the server dies is lost."},
		{Key: "ack_timeout", Type: engine.Duration, Default: 60 * time.Second, Min: 0.1, Max: 3600, Doc: "How long the server may take to read and ack; then the connection is made anew and what was not acked is sent again."},
		{Key: "compress", Type: engine.String, Default: "gzip", Enum: []string{"gzip", "none"}, Doc: "Compression of chunks."},
		{Key: "chunk", Type: engine.Bytes, Default: int64(2 << 20), Min: 1024, Max: 1 << 28, Doc: "Most bytes of a chunk, before compression; a longer event is a chunk of its own."},
		{Key: "shared_key", Type: engine.String, Secret: true, Doc: "The server's shared key; with it the handshake is done."},
		{Key: "username", Type: engine.String, Doc: "User, if the server wants one."},
		{Key: "password", Type: engine.String, Secret: true, Doc: "The user's password."},
		{Key: "hostname", Type: engine.String, Doc: "Our name in the handshake; the server must have another one. By default this machine's."},
	}, wire.ClientOptions...),
	New: New,
}

type output struct {
	*peer.Server
	security
	packer
	tag, tagField string
	ack           bool
	timeout       time.Duration
	compress      bool
	chunkLen      int

	conn   *session
	chunks []chunk
	of     []int // chunk of each event of the batch
	zip    *gzip.Writer
}

// chunk is a message in the making.
type chunk struct {
	tag     string
	entries []byte
	count   int
	id      string
	done    bool // acked, or written if no ack is asked for
}

var _ engine.PortUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	o := p.Options
	out := &output{
		security: security{o.String("shared_key"), o.String("username"), o.String("password"), o.String("hostname")},
		packer:   packer{wrap: o.String("message_key")},
		tag:      o.String("tag"), tagField: o.String("tag_field"), ack: o.Bool("require_ack"), timeout: o.Duration("ack_timeout"),
		compress: o.String("compress") == "gzip", chunkLen: int(o.Int("chunk")),
	}
	var errs []error
	if out.tag == "" {
		errs = append(errs, &engine.ConfigError{Key: "tag", Msg: "is empty: the protocol wants a tag"})
	}
	if out.username != "" && out.sharedKey == "" {
		errs = append(errs, &engine.ConfigError{Key: "username", Msg: "needs shared_key: the protocol has users only with one"})
	}
	if (out.username == "") != (out.password == "") {
		errs = append(errs, &engine.ConfigError{Key: "username", Msg: "username and password go together"})
	}
	if out.host == "" {
		out.host, _ = os.Hostname()
	}
	config, err := wire.ClientTLS(p, false)
	server, err2 := peer.New(p, port, config)
	if err := errors.Join(append(errs, err, err2)...); err != nil {
		return nil, err
	}
	server.Timeout, server.Silent, out.Server = out.timeout, !out.ack && out.sharedKey == "", server
	return out, nil
}

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.conn != nil {
		return nil
	}
	conn, err := o.Dial(ctx)
	if err != nil {
		return err
	}
	s := &session{Conn: conn}
	if o.sharedKey != "" {
		const handshake = 15 * time.Second
		s.SetDeadline(time.Now().Add(handshake))
		defer context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })()
		if err := s.greet(&o.security); err != nil {
			s.Close()
			return fmt.Errorf("handshake with %s: %w", o.Address, peer.Refusal(err))
		}
	}
	o.conn = s
	return nil
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if o.conn != nil && peer.HungUp(o.conn.Conn) {
		o.Close() // servers end connections that are idle; all that was sent is acked, or was sent again
	}
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	bad := o.pack(batch)
	err := o.send(ctx)
	n := 0
	for n < len(o.of) && o.chunks[o.of[n]].done {
		n++
	}
	if err != nil {
		o.Close()
		return n, err
	}
	return n, bad
}

// pack makes chunks of the events up to one that cannot be a record; then it returns a *engine.RejectError.
func (o *output) pack(batch []engine.Event) error {
	o.chunks, o.of = o.chunks[:0], o.of[:0]
	last := map[string]int{} // chunk that is filled, by tag
	for i := range batch {
		ev := &batch[i]
		index := ev.Index
		if index == nil {
			var err error
			if index, err = lazyjson.IndexObject(o.fields[:0], ev.Body); err != nil {
				return &engine.RejectError{Err: errNotObject}
			}
			o.fields = index
		}
		tag := o.tag
		if o.tagField != "" {
			if f := lazyjson.Find(index, ev.Body, o.tagField); f != nil && f.Kind == lazyjson.String {
				tag += "." + f.Text(ev.Body)
			}
		}
		at, ok := last[tag]
		if !ok || len(o.chunks[at].entries)+len(ev.Body) > o.chunkLen {
			at = len(o.chunks)
			last[tag] = at
			o.chunks = append(o.chunks, chunk{tag: tag})
		}
		c := &o.chunks[at]
		c.entries = o.packer.append(c.entries, ev, index)
		c.count++
		o.of = append(o.of, at)
	}
	return nil
}

// send writes all chunks and waits for their acks.
func (o *output) send(ctx context.Context) error {
	conn := o.conn
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	for i := range o.chunks {
		message, err := o.message(&o.chunks[i])
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(o.timeout))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := conn.Write(message); err != nil {
			return err
		}
		o.chunks[i].done = !o.ack
	}
	if !o.ack {
		return nil
	}
	for range o.chunks {
		conn.SetDeadline(time.Now().Add(o.timeout))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := o.await(); err != nil {
			return err
		}
	}
	return nil
}

// message returns a chunk as PackedForward or CompressedPackedForward.
func (o *output) message(c *chunk) ([]byte, error) {
	entries, keys := c.entries, uint32(1)
	if o.compress {
		var b bytes.Buffer
		if o.zip == nil {
			o.zip, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed)
		}
		o.zip.Reset(&b)
		_, err := o.zip.Write(entries)
		if err := errors.Join(err, o.zip.Close()); err != nil {
			return nil, err
		}
		entries = b.Bytes()
		keys++
	}
	if o.ack {
		id := make([]byte, 16)
		rand.Read(id)
		c.id = base64.StdEncoding.EncodeToString(id)
		keys++
	}
	b := msgp.AppendArrayHeader(make([]byte, 0, len(entries)+256), 3)
	b = msgp.AppendString(b, c.tag)
	b = msgp.AppendBytes(b, entries)
	b = msgp.AppendMapHeader(b, keys)
	b = msgp.AppendString(b, "size")
	b = msgp.AppendInt(b, c.count)
	if o.compress {
		b = msgp.AppendString(b, "compressed")
		b = msgp.AppendString(b, "gzip")
	}
	if o.ack {
		b = msgp.AppendString(b, "chunk")
		b = msgp.AppendString(b, c.id)
	}
	return b, nil
}

// await reads one ack.
func (o *output) await() error {
	b, err := o.conn.next()
	if errors.Is(err, io.EOF) && o.TLS == nil {
		return fmt.Errorf("%s closes the connection without an ack (it was stopped, or may want TLS or a shared key): %w", o.Address, err)
	}
	if err != nil {
		return fmt.Errorf("waiting for the ack of %s: %w", o.Address, peer.Refusal(err))
	}
	if msgp.NextType(b) == msgp.ArrayType {
		return fmt.Errorf("%s wants a shared key: set shared_key", o.Address)
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for i := uint32(0); i < n && err == nil; i++ {
		var key, id string
		if key, b, err = readText(b); err != nil {
			break
		}
		if key != "ack" {
			b, err = msgp.Skip(b)
			continue
		}
		if id, _, err = readText(b); err != nil {
			break
		}
		for j := range o.chunks {
			if o.chunks[j].id == id && !o.chunks[j].done {
				o.chunks[j].done = true
				return nil
			}
		}
		return fmt.Errorf("%s acks the chunk %q, which was not sent or is acked already", o.Address, id)
	}
	return errors.Join(fmt.Errorf("%s answers with something else than an ack", o.Address), err)
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.conn == nil {
		return nil
	}
	err := peer.Close(o.conn)
	o.conn = nil
	return err
}

// Paths implements engine.PathUser: connecting needs none.
func (*output) Paths() []engine.PathUse { return nil }
