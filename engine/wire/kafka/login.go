package kafka

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"dragonfly/engine"
)

// login sets what the sasl_ keys of a row say.
func (c *Cluster) login(p engine.Params) error {
	mechanism, user, password := p.Options.String("sasl_mechanism"), p.Options.String("sasl_user"), p.Options.String("sasl_password")
	token, endpoint := p.Options.String("sasl_token"), p.Options.String("sasl_token_url")
	wrong := func(key, format string, args ...any) error {
		return &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)}
	}
	if mechanism == "" {
		for _, key := range []string{"sasl_user", "sasl_password", "sasl_token", "sasl_token_url"} {
			if p.Options.String(key) != "" {
				return wrong(key, "needs sasl_mechanism, one of %s", strings.Join(mechanisms, ", "))
			}
		}
		return nil
	}
	sasl := &c.base.Net.SASL
	sasl.Enable, sasl.Handshake, sasl.Version = true, true, sarama.SASLHandshakeV1
	sasl.Mechanism, sasl.User, sasl.Password = sarama.SASLMechanism(mechanism), user, password
	if mechanism != sarama.SASLTypeOAuth {
		if token != "" || endpoint != "" {
			return wrong("sasl_token", "is for sasl_mechanism OAUTHBEARER, not %s", mechanism)
		}
		if user == "" || password == "" {
			return wrong("sasl_user", "%s needs sasl_user and sasl_password", mechanism)
		}
		sasl.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return newScram(mechanism) }
		return nil
	}
	switch {
	case (token == "") == (endpoint == ""):
		return wrong("sasl_token", "OAUTHBEARER needs either sasl_token or sasl_token_url")
	case token != "":
		sasl.TokenProvider = fixedToken(token)
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return wrong("sasl_token_url", "%q is no http:// or https:// URL", endpoint)
	}
	if user == "" || password == "" {
		return wrong("sasl_user", "sasl_token_url needs sasl_user and sasl_password, the id and the secret of the client")
	}
	transport := &http.Transport{DialContext: p.Dial, ForceAttemptHTTP2: true, TLSHandshakeTimeout: c.timeout, TLSClientConfig: tlsFor(c, p)}
	sasl.TokenProvider = &tokens{url: endpoint, user: user, password: password, scope: p.Options.String("sasl_scope"),
		http: &http.Client{Transport: transport, Timeout: c.timeout}}
	return nil
}

// fixedToken is a token that stays.
type fixedToken string

func (t fixedToken) Token() (*sarama.AccessToken, error) {
	return &sarama.AccessToken{Token: string(t)}, nil
}

// tokens asks an endpoint for tokens: RFC 6749 section 4.4.
type tokens struct {
	url, user, password, scope string
	http                       *http.Client

	mu    sync.Mutex
	token string
	until time.Time
}

// errToken is in the error of a token that was not to be had.
var errToken = errors.New("no token from sasl_token_url")

// Token implements sarama.AccessTokenProvider.
func (t *tokens) Token() (*sarama.AccessToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return &sarama.AccessToken{Token: t.token}, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.scope != "" {
		form.Set("scope", t.scope)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, t.url, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(t.user), url.QueryEscape(t.password))
	resp, err := t.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errToken, err)
	}
	var answer struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"` // seconds
		Error   string  `json:"error"`
	}
	failed := json.Unmarshal(body, &answer)
	if resp.StatusCode != http.StatusOK || failed != nil || answer.Token == "" {
		return nil, fmt.Errorf("%w: %s answers %s %q", errToken, t.url, resp.Status, answer.Error)
	}
	t.token = answer.Token
	t.until = time.Now().Add(time.Duration(min(answer.Expires, 1e6) * 0.8 * float64(time.Second)))
	return &sarama.AccessToken{Token: t.token}, nil
}

// scram is the client's side of RFC 5802 without channel binding.
type scram struct {
	hash           func() hash.Hash
	user, password string
	nonce          string
	first          string // client-first-message-bare
	want           []byte // the server's signature
	step           int
}

func newScram(mechanism string) *scram {
	if mechanism == sarama.SASLTypeSCRAMSHA256 {
		return &scram{hash: sha256.New}
	}
	return &scram{hash: sha512.New}
}

// Begin implements sarama.SCRAMClient.
func (s *scram) Begin(user, password, _ string) error {
	s.user, s.password, s.step = strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user), password, 0
	s.nonce = rand.Text()
	return nil
}

// Done implements sarama.SCRAMClient.
func (s *scram) Done() bool { return s.step == 3 }

// Step implements sarama.SCRAMClient.
func (s *scram) Step(challenge string) (string, error) {
	s.step++
	switch s.step {
	case 1:
		s.first = "n=" + s.user + ",r=" + s.nonce
		return "n,," + s.first, nil
	case 2:
		return s.prove(challenge)
	case 3:
		got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "v="))
		if err != nil || subtle.ConstantTimeCompare(got, s.want) != 1 {
			return "", fmt.Errorf("SCRAM: the broker does not know the password itself: %w", sarama.ErrSASLAuthenticationFailed)
		}
		return "", nil
	}
	return "", errors.New("SCRAM: the broker goes on after the end")
}

// mostIterations bounds the work that a broker can make us do.
const mostIterations = 1 << 24

func (s *scram) prove(challenge string) (string, error) {
	fields := map[byte]string{}
	for _, f := range strings.Split(challenge, ",") {
		if len(f) > 2 && f[1] == '=' {
			fields[f[0]] = f[2:]
		}
	}
	if e := fields['e']; e != "" {
		return "", fmt.Errorf("SCRAM: %q: %w", e, sarama.ErrSASLAuthenticationFailed)
	}
	salt, err := base64.StdEncoding.DecodeString(fields['s'])
	iterations, err2 := strconv.Atoi(fields['i'])
	if err != nil || err2 != nil || iterations < 1 || iterations > mostIterations || !strings.HasPrefix(fields['r'], s.nonce) || len(fields['r']) == len(s.nonce) {
		return "", errors.New("SCRAM: the broker's challenge is malformed")
	}
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, s.hash().Size())
	if err != nil {
		return "", err
	}
	mac := func(key []byte, text string) []byte {
		m := hmac.New(s.hash, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	last := "c=biws,r=" + fields['r']
	message := s.first + "," + challenge + "," + last
	clientKey := mac(salted, "Client Key")
	stored := s.hash()
	stored.Write(clientKey)
	proof := mac(stored.Sum(nil), message)
	subtle.XORBytes(proof, proof, clientKey)
	s.want = mac(mac(salted, "Server Key"), message)
	return last + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}
