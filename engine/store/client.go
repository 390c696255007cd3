package store

import "strings"

// Client is a Redis that scripts talk to: a Store, or a server (package remote). Safe for all goroutines.
type Client interface {
	// Session returns what one user holds: the state of MULTI and WATCH, pending replies.
	Session() Session
	Close() error
}

// Session carries out commands, for one goroutine at a time. An error means that there was no answer: the server could not
// be reached within the limits of the Client. What the server refused is a Reply of kind Error.
type Session interface {
	Do(args []string) (Reply, error)
	// Pipeline carries out commands with one round trip; it returns one reply each.
	Pipeline(commands [][]string) ([]Reply, error)
	// Close gives up what the session holds.
	Close()
}

var _ Client = (*Store)(nil)

// Session implements Client.
func (s *Store) Session() Session { return session{s.Conn()} }

type session struct{ c *Conn }

func (s session) Do(args []string) (Reply, error) { return s.c.Do(args), nil }

func (s session) Pipeline(commands [][]string) ([]Reply, error) {
	replies := make([]Reply, len(commands))
	for i, args := range commands {
		replies[i] = s.c.Do(args)
	}
	return replies, nil
}

func (s session) Close() { s.c.multi, s.c.watch = nil, nil }

// WithModels returns a Client whose ML.* commands are answered by models, as real servers lack the module, and all others by
// c. DEL, UNLINK, EXISTS and TYPE see the keys of both.
func WithModels(c Client, models *Store) Client { return &modelClient{c, models} }

type modelClient struct {
	Client
	models *Store
}

func (m *modelClient) Session() Session {
	return &modelSession{m.Client.Session(), m.models.Conn(), m.models}
}

type modelSession struct {
	Session
	local  *Conn
	models *Store
}

// IsModelCommand reports whether name is a command of redis-ml.
func IsModelCommand(name string) bool { return len(name) > 3 && strings.EqualFold(name[:3], "ml.") }

func (s *modelSession) Do(args []string) (Reply, error) {
	if len(args) > 0 && IsModelCommand(args[0]) {
		return s.local.Do(args), nil
	}
	r, err := s.Session.Do(args)
	if err == nil {
		r = s.both(args, r)
	}
	return r, err
}

// both adds what the models have to the server's reply.
func (s *modelSession) both(args []string, r Reply) Reply {
	if len(args) < 2 || len(args[0]) > 6 || s.models.used.Load() == 0 {
		return r
	}
	switch strings.ToLower(args[0]) {
	case "del", "unlink", "exists":
		if r.Kind == Int {
			r.Int += s.local.Do(args).Int
		}
	case "type":
		if r.Kind == Status && r.Str == "none" {
			return s.local.Do(args)
		}
	}
	return r
}

func (s *modelSession) Pipeline(commands [][]string) ([]Reply, error) {
	replies := make([]Reply, 0, len(commands))
	for start := 0; start < len(commands); {
		if args := commands[start]; len(args) > 0 && IsModelCommand(args[0]) {
			replies = append(replies, s.local.Do(args))
			start++
			continue
		}
		end := start + 1
		for end < len(commands) && len(commands[end]) > 0 && !IsModelCommand(commands[end][0]) {
			end++
		}
		part, err := s.Session.Pipeline(commands[start:end])
		if err != nil {
			return nil, err
		}
		for i, r := range part {
			replies = append(replies, s.both(commands[start+i], r))
		}
		start = end
	}
	return replies, nil
}
