package main

import (
	"crypto/tls"
	"errors"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/store"
	"dragonfly/engine/store/remote"
)

// rowTimeout is the most that a row waits for one answer of its Redis.
const rowTimeout = 5 * time.Second

// rowRedis is the Redis that a row names.
type rowRedis struct{ *remote.Client }

// redisOf returns what opens it: the server of cfg, or one of a URL.
func (b *builder) redisOf(cfg *engine.Config) func(address string) (func() (engine.RedisConn, error), error) {
	return func(address string) (func() (engine.RedisConn, error), error) {
		o, err := redisOptions(cfg, b.loader.Read)
		if err != nil {
			return nil, err
		}
		if address == "redis" || address == "auto" {
			if cfg.Redis.Address == "" && address == "auto" {
				return nil, nil
			}
			if cfg.Redis.Address == "" {
				return nil, errors.New(`is "redis", but config.lua names no server for all processes: set redis = "redis://HOST:6379" there, or write that here`)
			}
		} else if !strings.Contains(address, "://") {
			return nil, errors.New(`is no address: want "redis" (the server that config.lua names), or redis://HOST:6379`) // it may hold a password
		} else if o, err = ownOptions(address, &o); err != nil {
			return nil, err
		}
		if o.TLS != nil && o.TLS.RootCAs == nil {
			o.TLS = o.TLS.Clone() // it may be that of config.lua's server
			o.TLS.MinVersion, o.TLS.RootCAs = tls.VersionTLS12, b.loader.Roots()
		}
		if o.Timeout <= 0 || o.Timeout > rowTimeout {
			o.Timeout = rowTimeout
		}
		o.Wait, o.Dial = 0, b.loader.Dial
		return func() (engine.RedisConn, error) {
			c, err := remote.New(o)
			return rowRedis{c}, err
		}, nil
	}
}

// Do implements engine.RedisConn.
func (r rowRedis) Do(args ...string) (any, error) {
	s := r.Session()
	defer s.Close()
	reply, err := s.Do(args)
	if err != nil {
		return nil, err
	}
	return valueOf(&reply)
}

func valueOf(r *store.Reply) (any, error) {
	switch r.Kind {
	case store.Status, store.Bulk:
		return r.Str, nil
	case store.Int:
		return r.Int, nil
	case store.Error:
		return nil, errors.New(r.Str)
	case store.Array:
		list := make([]any, len(r.Elems))
		for i := range r.Elems {
			v, err := valueOf(&r.Elems[i])
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return nil, nil
}
