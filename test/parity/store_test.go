package parity

import (
	"io"
	"testing"

	"dragonfly/engine/store"
	"dragonfly/luabind"
)

// embedded is the side of our store.
type embedded struct {
	tb      testing.TB
	scripts *luabind.Loader // runs EVAL
	store   *store.Store
	conns   [connections]*store.Conn
}

var _ side = (*embedded)(nil)

func newEmbedded(tb testing.TB) *embedded {
	scripts, err := luabind.NewLoader(tb.TempDir(), luabind.Options{Stdout: io.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	e := &embedded{tb: tb, scripts: scripts}
	e.reset()
	tb.Cleanup(func() {
		e.store.Close()
		scripts.Close()
	})
	return e
}

func (e *embedded) reset() {
	if e.store != nil {
		if err := e.store.Close(); err != nil {
			e.tb.Fatal(err)
		}
	}
	s, err := store.Open(store.Options{})
	if err != nil {
		e.tb.Fatal(err)
	}
	e.store = s
	e.scripts.SetRedis(s, nil)
	for i := range e.conns {
		e.conns[i] = s.Conn()
	}
}

func (e *embedded) do(conn int, args ...string) reply {
	defer func() {
		if err := recover(); err != nil {
			e.tb.Errorf("panic at %s: %v", show(args), err)
			panic(err)
		}
	}()
	return fromStore(e.conns[conn].Do(args))
}

func (e *embedded) all(conn int, commands ...[]string) []reply {
	replies := make([]reply, len(commands))
	for i, args := range commands {
		replies[i] = e.do(conn, args...)
	}
	return replies
}

var kinds = map[store.Kind]kind{store.Nil: null, store.Status: status, store.Error: failure, store.Int: integer, store.Bulk: bulk, store.Array: array}

func fromStore(r store.Reply) reply {
	k, known := kinds[r.Kind]
	if !known {
		return reply{kind: failure, str: "a reply of an unknown kind"}
	}
	out := reply{kind: k, int: r.Int, str: r.Str}
	for _, e := range r.Elems {
		out.elems = append(out.elems, fromStore(e))
	}
	return out
}

// newRig returns a rig of a real server and the store.
func newRig(tb testing.TB) *rig {
	return &rig{real: newServer(tb), ours: newEmbedded(tb), scripts: true}
}
