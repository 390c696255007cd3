package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"dragonfly/engine"
	"dragonfly/engine/store"
	"dragonfly/engine/store/remote"
	"dragonfly/luabind"
)

// Files of the embedded store in the state directory: the store, and redis-ml's models when the keys are on a server.
const (
	storeFile  = "store"
	modelsFile = "models"
)

// shared is the Redis of the scripts. It lives as long as the process.
type shared struct {
	cfg    engine.Config // what it was made from
	client store.Client
	local  *store.Store   // the store, or the models beside a server
	remote *remote.Client // nil: embedded
	server *store.Server  // store_listen
	abort  func()         // ends all connections to servers, and what waits for them; it may be called more than once

	interrupt atomic.Bool // makes what waits for a server fail
}

// redisOptions returns what config.lua says of the server; the address "" is none.
func redisOptions(cfg *engine.Config, read func(string) ([]byte, error)) (remote.Options, error) {
	r := &cfg.Redis
	o := remote.Options{User: r.User, Password: r.Password, DB: r.Database, Master: r.Master, Cluster: r.Cluster, Timeout: r.Timeout, Wait: r.Wait, Pool: r.Pool}
	wrong := func(key, format string, args ...any) (remote.Options, error) {
		return o, &engine.ConfigError{File: cfg.File, Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	if r.TLS || r.CA != "" {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if r.CA != "" {
		pem, err := read(r.CA)
		if err != nil {
			return wrong("redis_ca", "%v", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return wrong("redis_ca", "%q holds no certificate in PEM", r.CA)
		}
	}
	if r.Address == "" {
		return o, nil
	}
	if err := remote.ParseAddress(r.Address, &o); err != nil {
		return wrong("redis", "%v", err)
	}
	if len(o.Addrs) > 1 && !r.Cluster && r.Master == "" {
		return wrong("redis", "names %d servers; that wants redis_cluster = true, or redis_master = the name that Sentinel has for the master", len(o.Addrs))
	}
	if r.Cluster && o.DB != 0 {
		return wrong("redis_database", "a cluster has only database 0")
	}
	return o, nil
}

// openRedis opens what config.lua names. It runs before the process gives up its rights.
func openRedis(cfg *engine.Config, at place, out outside, loader *luabind.Loader, log *slog.Logger) (*shared, error) {
	o, err := redisOptions(cfg, loader.Read)
	if err != nil {
		return nil, err
	}
	ctx, abort := context.WithCancel(context.Background())
	sh := &shared{cfg: *cfg, abort: abort}
	prepare := func(o *remote.Options) {
		o.Log, o.Context, o.Interrupt = log, ctx, &sh.interrupt
		if o.TLS != nil && o.TLS.RootCAs == nil {
			o.TLS.RootCAs = out.roots // nil is the system's
		}
		o.Dial = loader.Dial
	}
	prepare(&o)
	file := storeFile
	if cfg.Redis.Address != "" {
		file = modelsFile
	}
	eviction := store.EvictLRU
	if cfg.Store.Eviction == "none" {
		eviction = store.EvictNone
	}
	sh.local, err = store.Open(store.Options{File: filepath.Join(at.stateDir, file), SaveEvery: cfg.Store.SaveInterval,
		MaxMemory: cfg.Store.MaxMemory, Eviction: eviction, Log: log})
	if err != nil {
		return nil, err
	}
	sh.client = sh.local
	if cfg.Redis.Address != "" {
		if sh.remote, err = remote.New(o); err != nil {
			return nil, errors.Join(err, sh.local.Close())
		}
		sh.client = store.WithModels(sh.remote, sh.local)
		log.Debug("scripts talk to redis " + strings.Join(o.Addrs, ","))
	}
	if len(cfg.Modules) > 0 {
		log.Info("redis modules of config.lua are not loaded: their ML.* commands are answered by dragonfly", "modules", strings.Join(cfg.Modules, ","))
	}
	if cfg.Store.Listen != "" {
		if cfg.Redis.Address != "" {
			log.Warn("store_listen means nothing: the keys are on the server that config.lua names", "redis", strings.Join(o.Addrs, ","))
		} else if sh.server, err = sh.local.Listen(cfg.Store.Listen); err != nil {
			return nil, errors.Join(&engine.ConfigError{File: cfg.File, Key: "store_listen", Msg: err.Error()}, sh.local.Close())
		} else {
			log.Info("the embedded store answers redis-cli", "address", sh.server.Addr().String())
		}
	}
	loader.SetRedis(sh.client, func(address string) (store.Client, error) {
		own, err := ownOptions(address, &o)
		if err != nil {
			return nil, err
		}
		prepare(&own)
		c, err := remote.New(own)
		if err != nil {
			return nil, err
		}
		return store.WithModels(c, sh.local), nil
	})
	return sh, nil
}

// ownOptions returns what a connection to an address that a script names is made with. The password of config.lua is only for
// the servers of config.lua.
func ownOptions(address string, of *remote.Options) (remote.Options, error) {
	own := remote.Options{Timeout: of.Timeout, Wait: of.Wait}
	if err := remote.ParseAddress(address, &own); err != nil {
		return own, err
	}
	if slices.Equal(own.Addrs, of.Addrs) {
		if own.User == "" && own.Password == "" {
			own.User, own.Password = of.User, of.Password
		}
		if own.TLS == nil {
			own.TLS = of.TLS
		}
	}
	if own.TLS != nil && of.TLS != nil && own.TLS.RootCAs == nil {
		own.TLS.RootCAs = of.TLS.RootCAs
	}
	return own, nil
}

// changed reports whether another config wants another Redis.
func (sh *shared) changed(cfg *engine.Config) bool {
	return cfg.Redis != sh.cfg.Redis || cfg.Store != sh.cfg.Store
}

// close ends the connections and saves the store.
func (sh *shared) close() error {
	sh.abort()
	var errs []error
	if sh.server != nil {
		errs = append(errs, sh.server.Close())
	}
	if sh.remote != nil {
		errs = append(errs, sh.remote.Close())
	}
	return errors.Join(append(errs, sh.local.Close())...)
}

// metrics adds the figures of the store and of the connections.
func (sh *shared) metrics(add func(name, kind, help string, value int64)) {
	if sh.remote != nil {
		st := sh.remote.Stats()
		up := int64(1)
		if st.Away {
			up = 0
		}
		add("dragonfly_redis_up", "gauge", "1 while the Redis of the scripts answers.", up)
		add("dragonfly_redis_connections", "gauge", "Open connections to Redis.", int64(st.Conns))
		add("dragonfly_redis_retries_total", "counter", "Commands that were tried again.", int64(st.Retries))
		add("dragonfly_redis_failures_total", "counter", "Commands that got no answer.", int64(st.Failures))
	}
	st := sh.local.Stats()
	add("dragonfly_store_keys", "gauge", "Keys in the embedded store.", int64(st.Keys))
	add("dragonfly_store_memory_bytes", "gauge", "Memory of the embedded store, approximately.", st.Memory)
	add("dragonfly_store_evicted_total", "counter", "Keys that went because store_max_memory was reached.", int64(st.Evicted))
	add("dragonfly_store_expired_total", "counter", "Keys whose time was over.", int64(st.Expired))
	add("dragonfly_store_saves_total", "counter", "Snapshots of the embedded store.", int64(st.Saves))
	add("dragonfly_store_save_errors_total", "counter", "Snapshots that could not be written.", int64(st.SaveErrors))
}
