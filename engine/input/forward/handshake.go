package forward

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"

	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine/wire"
)

// security is what clients must know; sharedKey "" lets everyone in.
type security struct {
	sharedKey, username, password, host string
}

// helo returns the server's first message and what the client's digests must be made with.
func (s *security) helo() (message []byte, nonce, salt string) {
	random := make([]byte, 32)
	rand.Read(random)
	nonce = string(random[:16])
	if s.username != "" {
		salt = string(random[16:])
	}
	b := msgp.AppendArrayHeader(nil, 2)
	b = msgp.AppendString(b, "HELO")
	b = msgp.AppendMapHeader(b, 3)
	b = msgp.AppendString(b, "nonce")
	b = msgp.AppendBytes(b, []byte(nonce))
	b = msgp.AppendString(b, "auth")
	b = msgp.AppendBytes(b, []byte(salt))
	b = msgp.AppendString(b, "keepalive")
	return msgp.AppendBool(b, true), nonce, salt
}

// ping is what a client answers: [PING, host, salt, digest of the shared key, user, digest of the password].
type ping [6]string

func readPing(b []byte) (p ping, err error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || int(n) != len(p) {
		return p, errors.New("not a PING: the client does not use a shared key")
	}
	for i := range p {
		if len(b) == 0 {
			return p, msgp.ErrShortBytes
		}
		var text []byte
		if msgp.NextType(b) == msgp.NilType {
			b = b[1:]
			continue
		}
		if text, b, err = readText(b); err != nil {
			return p, errors.New("not a PING: an element is no text")
		}
		p[i] = string(text)
	}
	if p[0] != "PING" {
		return p, errors.New("not a PING: the client does not use a shared key")
	}
	return p, nil
}

// check returns why the client is not let in, "" if it is.
func (s *security) check(p ping, nonce, salt string) string {
	same := func(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
	if !same(p[3], wire.ForwardDigest(p[2], p[1], nonce, s.sharedKey)) {
		return "shared_key mismatch"
	}
	if s.username != "" && (!same(p[4], s.username) || !same(p[5], wire.ForwardDigest(salt, s.username, s.password))) {
		return "username/password mismatch"
	}
	return ""
}

// pong returns the server's answer.
func (s *security) pong(p ping, nonce, reason string) []byte {
	host, digest := "", ""
	if reason == "" {
		host, digest = s.host, wire.ForwardDigest(p[2], s.host, nonce, s.sharedKey)
	}
	b := msgp.AppendArrayHeader(nil, 5)
	b = msgp.AppendString(b, "PONG")
	b = msgp.AppendBool(b, reason == "")
	b = msgp.AppendString(b, reason)
	b = msgp.AppendString(b, host)
	return msgp.AppendString(b, digest)
}

var errRefused = errors.New("the client was refused")

// greet does the handshake with a client.
func (s *security) greet(c *client) error {
	if s.sharedKey == "" {
		return nil
	}
	hello, nonce, salt := s.helo()
	if _, err := c.conn.Write(hello); err != nil {
		return err
	}
	message, err := c.next(64 << 10)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it went away at the handshake: it may not know that a shared key is wanted")
		}
		return err
	}
	p, err := readPing(message)
	if err != nil {
		return err
	}
	reason := s.check(p, nonce, salt)
	if _, err := c.conn.Write(s.pong(p, nonce, reason)); err != nil {
		return err
	}
	if reason != "" {
		return errors.Join(errRefused, errors.New(reason))
	}
	return nil
}
