package forward

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine/wire"
)

// security is what the server must be told; sharedKey "" is no handshake.
type security struct {
	sharedKey, username, password, host string
}

// session is a connection on which what the server says can be read.
type session struct {
	net.Conn
	buf  []byte
	used int // of buf
}

// maxReply is the longest that a server may answer, in bytes.
const maxReply = 64 << 10

// next returns the next MessagePack object that the server sends; it is valid until the next call.
func (s *session) next() ([]byte, error) {
	s.buf = append(s.buf[:0], s.buf[s.used:]...)
	s.used = 0
	for {
		if len(s.buf) > 0 {
			rest, err := msgp.Skip(s.buf)
			if err == nil {
				s.used = len(s.buf) - len(rest)
				return s.buf[:s.used], nil
			}
			if !errors.Is(err, msgp.ErrShortBytes) || len(s.buf) >= maxReply {
				return nil, fmt.Errorf("the server does not talk the forward protocol: %w", err)
			}
		}
		var chunk [4096]byte
		n, err := s.Read(chunk[:])
		s.buf = append(s.buf, chunk[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// greet does the handshake.
func (s *session) greet(sec *security) error {
	hello, err := s.next()
	if err != nil {
		return fmt.Errorf("the server does not say HELO (it may not be set up for a shared key, or want TLS): %w", err)
	}
	nonce, auth, err := readHelo(hello)
	if err != nil {
		return err
	}
	salt := make([]byte, 16)
	rand.Read(salt)
	text := hex.EncodeToString(salt)
	b := msgp.AppendArrayHeader(nil, 6)
	b = msgp.AppendString(b, "PING")
	b = msgp.AppendString(b, sec.host)
	b = msgp.AppendBytes(b, []byte(text))
	b = msgp.AppendString(b, wire.ForwardDigest(text, sec.host, nonce, sec.sharedKey))
	user, digest := "", ""
	if auth != "" {
		if sec.username == "" {
			return errors.New("the server wants a user: set username and password")
		}
		user, digest = sec.username, wire.ForwardDigest(auth, sec.username, sec.password)
	}
	b = msgp.AppendString(b, user)
	b = msgp.AppendString(b, digest)
	if _, err := s.Write(b); err != nil {
		return err
	}
	pong, err := s.next()
	if err != nil {
		return fmt.Errorf("the server does not answer the PING; is shared_key that of the server? %w", err)
	}
	return checkPong(pong, text, nonce, sec)
}

// readHelo reads ["HELO", {"nonce": ..., "auth": ..., "keepalive": ...}].
func readHelo(b []byte) (nonce, auth string, err error) {
	wrong := errors.New("the server does not say HELO: it is not set up for a shared key")
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n != 2 {
		return "", "", wrong
	}
	text, b, err := readText(b)
	if err != nil || text != "HELO" {
		return "", "", wrong
	}
	m, b, err := msgp.ReadMapHeaderBytes(b)
	for i := uint32(0); i < m && err == nil; i++ {
		var key string
		if key, b, err = readText(b); err != nil {
			break
		}
		switch key {
		case "nonce":
			nonce, b, err = readText(b)
		case "auth":
			auth, b, err = readText(b)
		default:
			b, err = msgp.Skip(b)
		}
	}
	if err != nil || nonce == "" {
		return "", "", errors.Join(errors.New("the server's HELO has no nonce"), err)
	}
	return nonce, auth, nil
}

// checkPong reads ["PONG", ok, reason, host, digest] and checks that the server knows the key too.
func checkPong(b []byte, salt, nonce string, sec *security) error {
	wrong := errors.New("the server answers the PING with something else than a PONG")
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n != 5 {
		return wrong
	}
	text, b, err := readText(b)
	if err != nil || text != "PONG" {
		return wrong
	}
	ok, b, err := msgp.ReadBoolBytes(b)
	if err != nil {
		return wrong
	}
	reason, b, err := readText(b)
	if err != nil {
		return wrong
	}
	if !ok {
		return fmt.Errorf("the server refuses us: %q; shared_key, username and password must be the server's", reason)
	}
	host, b, err := readText(b)
	if err != nil {
		return wrong
	}
	digest, _, err := readText(b)
	switch {
	case err != nil:
		return wrong
	case host == sec.host:
		return fmt.Errorf("the server has our own name, %q: set hostname", host)
	case digest != wire.ForwardDigest(salt, host, nonce, sec.sharedKey):
		return errors.New("the server does not know the shared key: it is not the one that is wanted")
	}
	return nil
}

// readText reads a str, a bin or nil.
func readText(b []byte) (string, []byte, error) {
	switch msgp.NextType(b) {
	case msgp.BinType:
		text, rest, err := msgp.ReadBytesZC(b)
		return string(text), rest, err
	case msgp.NilType:
		return "", b[1:], nil
	}
	return msgp.ReadStringBytes(b)
}
