package redis

import (
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine/wire"
)

// remedies says for the first word of an error of the server what the operator can do.
var remedies = []struct{ word, remedy string }{
	{"WRONGPASS", "correct user and password of the row"},
	{"NOAUTH", "the server wants a password: set password (and user) of the row"},
	{"ERR AUTH", "correct user and password of the row"},
	{"ERR invalid password", "correct the password of the row"},
	{"NOPERM", "let this user do that: ACL SETUSER on the server"},
	{"WRONGTYPE", "the key holds something else: choose another key or type, or delete the key"},
	{"OOM", "the server's maxmemory is reached: raise it, read what is there, or set max_length"},
	{"READONLY", "this server is a replica: name the master, or Sentinels with sentinel_master"},
	{"MISCONF", "the server cannot save to its disk: see its log"},
	{"NOREPLICAS", "too few replicas are connected (min-replicas-to-write)"},
	{"LOADING", "the server is still reading its data"},
	{"MASTERDOWN", "the replica has lost its master"},
	{"CLUSTERDOWN", "the cluster is not complete"},
	{"MOVED", "this is a node of a cluster: set cluster = true"},
	{"ASK", "this is a node of a cluster: set cluster = true"},
	{"NOGROUP", "the stream or its group was deleted; the group is made again"},
	{"ERR unknown command", "the server is too old, 6.2 is wanted, or the command was renamed"},
	{"ERR DB index", "correct database of the row"},
	{"ERR max number of clients", "raise maxclients of the server"},
}

// Explain adds the server and the remedy to an error of a command.
func (s *Server) Explain(err error) error {
	text := err.Error()
	for _, r := range remedies {
		if strings.HasPrefix(text, r.word) {
			return fmt.Errorf("redis %s: %w (%s)", s.Name, err, r.remedy)
		}
	}
	if !Answered(err) {
		if remedy := wire.TLSRemedy(err, s.tls != nil, s.answered.Load()); remedy != "" {
			return fmt.Errorf("redis %s: %w (%s)", s.Name, err, remedy)
		}
	}
	return fmt.Errorf("redis %s: %w", s.Name, err)
}

// Answered reports whether err is an answer of the server, so that the connection works.
func Answered(err error) bool {
	var e goredis.Error
	return errors.As(err, &e)
}

// Is reports whether err is an answer of the server that begins with word, as "WRONGTYPE".
func Is(err error, word string) bool {
	return Answered(err) && strings.HasPrefix(err.Error(), word)
}
