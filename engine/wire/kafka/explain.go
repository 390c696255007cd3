package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/IBM/sarama"

	"dragonfly/engine"
)

// tlsFor is the TLS configuration for the token endpoint: as for the brokers, but without their name.
func tlsFor(c *Cluster, p engine.Params) *tls.Config {
	if of := c.base.Net.TLS.Config; of != nil {
		conf := of.Clone()
		conf.ServerName = ""
		return conf
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.Roots}
}

// LoginError says that the brokers refuse the login or the connection for a reason that only the operator can mend.
type LoginError struct{ Err error }

func (e *LoginError) Error() string { return e.Err.Error() }
func (e *LoginError) Unwrap() error { return e.Err }

// remedies says what to do about errors of the brokers.
var remedies = []struct {
	err  sarama.KError
	text string
}{
	{sarama.ErrUnknownTopicOrPartition, "the topic is not there, or its existence is kept from this user: create it, or correct the uri"},
	{sarama.ErrTopicAuthorizationFailed, "the user may not use the topic: give it the right (Read and Describe, or Write and Describe)"},
	{sarama.ErrGroupAuthorizationFailed, "the user may not use the group: give it the right Read on the group, or set another group"},
	{sarama.ErrClusterAuthorizationFailed, "the user has no right to write idempotently (before Kafka 2.8: IdempotentWrite on the cluster)"},
	{sarama.ErrInvalidTopic, "the name of the topic is not valid: correct the uri"},
	{sarama.ErrFencedInstancedId, "another process has the same instance_id: give each its own"},
	{sarama.ErrInconsistentGroupProtocol, "the group has members that assign partitions in another way than cooperative-sticky: end them first, or set another group"},
	{sarama.ErrInvalidSessionTimeout, "session_timeout is not between the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms"},
	{sarama.ErrInvalidGroupId, "group is not valid: correct it"},
	{sarama.ErrGroupMaxSizeReached, "the group has as many members as the brokers' group.max.size allows"},
	{sarama.ErrNotEnoughReplicas, "fewer replicas are in sync than the topic's min.insync.replicas: start the missing brokers"},
	{sarama.ErrNotEnoughReplicasAfterAppend, "fewer replicas are in sync than the topic's min.insync.replicas: start the missing brokers"},
	{sarama.ErrUnsupportedCompressionType, "the brokers do not know this compression: set another one"},
}

// Explain adds to err the brokers and what to do. Errors of a login or of TLS become a *LoginError.
func (c *Cluster) Explain(err error) error { return c.explain(err, false) }

// explain is Explain; connecting says that nothing was ever answered.
func (c *Cluster) explain(err error, connecting bool) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var explained *explained
	if errors.As(err, &explained) {
		return err
	}
	remedy, login := c.remedy(err, connecting)
	if remedy != "" {
		remedy = ": " + remedy
	}
	err = c.explained(err, remedy)
	if login {
		return &LoginError{err}
	}
	return err
}

// explained is an error that Explain has seen.
type explained struct {
	err  error
	text string
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.err }

func (c *Cluster) explained(err error, remedy string) error {
	return &explained{err, fmt.Sprintf("kafka %s: %s%s", strings.Join(c.brokers, ","), strings.ReplaceAll(err.Error(), "\n", " "), remedy)}
}

func (c *Cluster) remedy(err error, connecting bool) (text string, login bool) {
	sasl := c.base.Net.SASL
	var notTLS tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	message := err.Error()
	switch {
	case errors.Is(err, errToken):
		return "see sasl_token_url, sasl_user, sasl_password and sasl_scope", false
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		if sasl.Mechanism == sarama.SASLTypeOAuth {
			return "the broker refuses the token: see sasl_token, sasl_token_url and sasl_scope", true
		}
		return fmt.Sprintf("the broker refuses the login of %q: see sasl_user, sasl_password and sasl_mechanism", sasl.User), true
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism):
		return fmt.Sprintf("the broker does not offer %s: see sasl_mechanism", sasl.Mechanism), true
	case errors.As(err, &unknown):
		return "the broker's certificate is signed by nobody we trust: set tls_ca", true
	case errors.As(err, &name):
		return "the broker's certificate is for another name: set tls_server_name, or connect by that name", true
	case errors.As(err, &invalid):
		return "the broker's certificate is not valid: see its dates and use", true
	case errors.As(err, &notTLS):
		return "the broker does not talk TLS at this port: remove tls, or name its TLS port", true
	case errors.As(err, &alert), strings.Contains(message, "remote error: tls"):
		return "the broker refuses our certificate, or wants one: see tls_cert and tls_key", true
	case connecting && sasl.Enable && closed(err):
		return fmt.Sprintf("the broker closes the connection, as it does when the login of %q is wrong (see sasl_user, sasl_password, sasl_mechanism) or when it wants TLS (tls = true)", sasl.User), false
	case connecting && closed(err) && !c.base.Net.TLS.Enable:
		return "the broker closes the connection: its port may want TLS (tls = true) or a login (sasl_mechanism)", false
	}
	for _, r := range remedies {
		if errors.Is(err, r.err) {
			return r.text, false
		}
	}
	return "", false
}

func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "connection reset")
}
