// Package kafka holds what the Kafka input and output have in common: addresses, logins, connections, and what errors mean.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
	"dragonfly/engine/wire"
)

// Options are the keys of a row that talks to Kafka.
var Options = append([]engine.Option{
	{Key: "client_id", Type: engine.String, Default: "dragonfly", Doc: "Name of this client in the logs and quotas of the brokers."},
	{Key: "timeout", Type: engine.Duration, Default: 30 * time.Second, Min: 1, Max: 600, Doc: "How long a broker may take to connect, or to answer a request."},
	{Key: "sasl_mechanism", Type: engine.String, Enum: mechanisms, Doc: "How to log in; without it there is no login."},
	{Key: "sasl_user", Type: engine.String, Doc: "User; with OAUTHBEARER and sasl_token_url the client id."},
	{Key: "sasl_password", Type: engine.String, Secret: true, Doc: "Password, or the client's secret; `file:PATH` reads it from a file below ROOT, `${NAME}` from the environment."},
	{Key: "sasl_token", Type: engine.String, Secret: true, Doc: "Token for OAUTHBEARER, as sasl_password; for tokens that end use sasl_token_url."},
	{Key: "sasl_token_url", Type: engine.String, Doc: "http:// or https:// endpoint that gives tokens for OAUTHBEARER (OAuth 2 client credentials); they are renewed before they end."},
	{Key: "sasl_scope", Type: engine.String, Doc: "Scope to ask of sasl_token_url."},
}, wire.ClientOptions...)

var mechanisms = []string{sarama.SASLTypePlaintext, sarama.SASLTypeSCRAMSHA256, sarama.SASLTypeSCRAMSHA512, sarama.SASLTypeOAuth}

// Address is what a kafka:// URI says.
type Address struct {
	Brokers []string // host:port
	Path    string   // what stands behind the brokers, without the slash
	Query   url.Values
}

// ParseAddress takes BROKER,BROKER/PATH?QUERY apart. keys are those that the query may have.
func ParseAddress(p engine.Params, keys ...string) (Address, error) {
	wrong := func(format string, args ...any) (Address, error) {
		return Address{}, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf(format, args...)}
	}
	text, query, _ := strings.Cut(p.Address, "?")
	hosts, path, _ := strings.Cut(text, "/")
	if wire.HoldsLogin(text) {
		return wrong("holds a login, which would be in every log; use sasl_user and sasl_password")
	}
	a := Address{Path: path}
	for _, b := range strings.Split(hosts, ",") {
		if b = strings.TrimSpace(b); b == "" {
			return wrong("names no broker, want kafka://HOST:PORT,.../TOPIC")
		}
		host, port, err := net.SplitHostPort(b)
		if err != nil {
			host, port = strings.Trim(b, "[]"), "9092"
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " []") {
			return wrong("%q is no broker, want HOST:PORT", b)
		}
		a.Brokers = append(a.Brokers, net.JoinHostPort(host, port))
	}
	var err error
	if a.Query, err = url.ParseQuery(query); err != nil {
		return wrong("%v", err)
	}
	for k := range a.Query {
		if !slices.Contains(keys, k) {
			if len(keys) == 0 {
				return wrong("has ?%s, want nothing behind the topic; options are keys of the row", k)
			}
			return wrong("has ?%s, want %s; all else is a key of the row", k, strings.Join(keys, ", "))
		}
	}
	return a, nil
}

// Cluster is how to reach one Kafka. Its methods may be called from any goroutine.
type Cluster struct {
	brokers []string
	base    sarama.Config // what all clients of it have in common
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	timeout time.Duration
}

// NewCluster checks the options of a row. Errors are *engine.ConfigError.
func NewCluster(p engine.Params, brokers []string) (*Cluster, error) {
	c := &Cluster{brokers: brokers, base: *sarama.NewConfig(), dial: p.Dial, timeout: p.Options.Duration("timeout")}
	conf := &c.base
	conf.ClientID = p.Options.String("client_id")
	conf.Version = sarama.V2_8_0_0 // what is asked for at most; older brokers are asked for what they know
	conf.Net.DialTimeout, conf.Net.ReadTimeout, conf.Net.WriteTimeout = c.timeout, c.timeout, c.timeout
	conf.Net.MaxOpenRequests = 1
	conf.Metadata.Full = false
	conf.Metadata.Retry.Max = 1
	conf.Metadata.Retry.Backoff = 100 * time.Millisecond
	tls, err := wire.ClientTLS(p, false)
	if err != nil {
		return nil, err
	}
	conf.Net.TLS.Enable, conf.Net.TLS.Config = tls != nil, tls
	if err := c.login(p); err != nil {
		return nil, err
	}
	if p.Options.String("sasl_mechanism") == sarama.SASLTypePlaintext && tls == nil {
		p.Log.Warn("the password goes over the network unencrypted: use tls = true, or SCRAM-SHA-512", "key", "sasl_mechanism")
	}
	return c, nil
}

// Client is a sarama.Client that can be cut off.
type Client struct {
	sarama.Client
	cluster *Cluster
	conns   *conns
}

// Connect makes a client that has seen the cluster. change may set what is not common to all. The error says what to do.
// It returns soon after ctx is done; then the client is cut off.
func (c *Cluster) Connect(ctx context.Context, change func(*sarama.Config)) (*Client, error) {
	conf := c.base
	conns := &conns{dial: c.dial, timeout: c.timeout, cut: make(chan struct{})}
	conf.Net.Proxy.Enable, conf.Net.Proxy.Dialer = true, conns
	if change != nil {
		change(&conf)
	}
	stop := context.AfterFunc(ctx, conns.Cut)
	defer stop()
	err := c.probe(&conf)
	var client sarama.Client
	if err == nil {
		client, err = sarama.NewClient(c.brokers, &conf)
	}
	if err == nil && ctx.Err() != nil {
		client.Close()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, c.explain(err, true)
	}
	return &Client{Client: client, cluster: c, conns: conns}, nil
}

// probe logs in to one of the brokers: only so the error says of each what is wrong.
func (c *Cluster) probe(conf *sarama.Config) error {
	var errs []error
	for _, address := range c.brokers {
		b := sarama.NewBroker(address)
		err := b.Open(conf)
		if err == nil {
			_, err = b.Connected()
		}
		if err == nil { // any request tells whether it talks with us; this one costs little
			_, err = b.GetMetadata(&sarama.MetadataRequest{Version: 5, Topics: []string{"__consumer_offsets"}})
		}
		b.Close() // an error only says that it is not connected
		if err == nil {
			return nil
		}
		errs = append(errs, err)
		if !errors.Is(err, errCut) && !strings.Contains(err.Error(), address) {
			errs[len(errs)-1] = fmt.Errorf("%s: %w", address, err)
		}
	}
	return errors.Join(errs...)
}

// Cut closes all connections at once, and lets no new ones be made: what waits for an answer fails now. Close still is to be called.
func (c *Client) Cut() { c.conns.Cut() }

// Explain is Cluster.Explain.
func (c *Client) Explain(err error) error { return c.cluster.Explain(err) }

// conns makes the connections of one client and knows those that are open.
type conns struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	timeout time.Duration
	cut     chan struct{} // closed by Cut
	once    sync.Once     // of closing it
	all     wire.Conns
}

var errCut = errors.New("the connection was given up")

// Dial is for sarama.
func (c *conns) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(stop)
	wg.Go(func() {
		select {
		case <-c.cut:
			cancel()
		case <-stop:
		}
	})
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn = c.all.Add(conn)
	select {
	case <-c.cut: // and may have been before it was one of all
		conn.Close()
		return nil, errCut
	default:
		return conn, nil
	}
}

// Cut closes all, for good.
func (c *conns) Cut() {
	c.once.Do(func() { close(c.cut) })
	c.all.Break()
}
