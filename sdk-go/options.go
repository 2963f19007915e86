// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// TokenReason says why a token is asked for.
type TokenReason string

// The reasons to ask for a token.
const (
	// TokenForConnect: a connection is opened.
	TokenForConnect TokenReason = "connect"
	// TokenForRefresh: the token in force will expire.
	TokenForRefresh TokenReason = "refresh"
	// TokenAfterRefusal: the server refused the token before.
	TokenAfterRefusal TokenReason = "unauthorized"
)

// TokenFunc gives a fresh token each time. It is called for one token at a time, with a context that ends
// when the client is closed, or with that of RequestHandle.Download; it must return when that ends, since
// Client.Close waits for it. A TokenFunc that fails is called again later (PROTOCOL 9.4.6).
type TokenFunc = func(ctx context.Context, reason TokenReason) (string, error)

// Option is an option of Connect. A zero number, duration, pointer or function leaves the default, except that
// WithToken takes no empty token and no nil function: a secret that is missing is found at once.
type Option func(*config)

// config is what the options make; each default stands in defaultConfig.
type config struct {
	token          TokenFunc
	openTimeout    time.Duration
	closeTimeout   time.Duration
	backoffInitial time.Duration
	backoffMaximum time.Duration
	maxQueue       int
	maxQueueBytes  int64
	reader         readerLimits
	header         http.Header
	httpClient     *http.Client
	compression    bool
	userAgent      string
	logger         *slog.Logger
	onState        func(State)
	onAnnouncement func(Announcement)
	trace          TraceFunc
	random         func() float64
	clock          Clock
	problem        string // what is wrong with an option
}

func defaultConfig() *config {
	return &config{
		openTimeout:    10 * time.Second,
		closeTimeout:   time.Second,
		backoffInitial: 500 * time.Millisecond,
		backoffMaximum: 20 * time.Second,
		maxQueue:       1000,
		maxQueueBytes:  64 << 20,
		reader:         readerLimits{maxEvents: 4096, maxBytes: 4 << 20},
		header:         http.Header{},
		httpClient:     http.DefaultClient,
		logger:         slog.New(slog.DiscardHandler),
		random:         rand.Float64,
		clock:          newSystemClock(time.Now),
	}
}

// check returns a *ConfigurationError for the first option that cannot be used.
func (c *config) check() error {
	if c.problem != "" {
		return &ConfigurationError{c.problem}
	}
	values := []struct {
		option string
		least  int64
	}{
		{"WithTimeouts", int64(min(c.openTimeout, c.closeTimeout))},
		{"WithBackoff", int64(min(c.backoffInitial, c.backoffMaximum))},
		{"WithQueueLimits", min(int64(c.maxQueue), c.maxQueueBytes)},
		{"WithIteratorLimits", min(int64(c.reader.maxEvents), c.reader.maxBytes)},
		{"WithApplicationName", int64(maxClientName - len(clientName) - len(c.userAgent))},
	}
	for _, value := range values {
		if value.least <= 0 {
			return &ConfigurationError{value.option + ": a value is out of range"}
		}
	}
	return nil
}

// given sets an option where it is given: its zero value leaves the default.
func given[T comparable](option *T, value T) {
	var none T
	if value != none {
		*option = value
	}
}

// WithToken sets the token: the JWT itself, or a function that gives a fresh one each time (a TokenFunc).
// Without this option the token must travel otherwise, for instance WithHeader("Authorization", …).
func WithToken[T string | TokenFunc](token T) Option {
	return func(c *config) {
		switch t := any(token).(type) {
		case string:
			c.token = fixedToken(c, t)
		case TokenFunc:
			if c.token = t; t == nil {
				c.problem = "WithToken: the function is nil"
			}
		}
	}
}

func fixedToken(c *config, token string) TokenFunc {
	if err := checkToken(token); err != nil {
		c.problem = "WithToken: " + err.Error()
	}
	return func(context.Context, TokenReason) (string, error) { return token, nil }
}

// WithTimeouts sets how long opening a socket, and then the wait for its welcome, may take each (10 s by
// default), and how long the closing handshake may take before the socket is cut (1 s).
func WithTimeouts(open, closing time.Duration) Option {
	return func(c *config) {
		given(&c.openTimeout, open)
		given(&c.closeTimeout, closing)
	}
}

// WithBackoff sets the first and the greatest bound of the random wait before a reconnect, 0.5 s and 20 s
// by default (PROTOCOL 9.4.2).
func WithBackoff(initial, maximum time.Duration) Option {
	return func(c *config) {
		given(&c.backoffInitial, initial)
		given(&c.backoffMaximum, maximum)
	}
}

// WithQueueLimits sets how many requests, and how many bytes of them, may wait to be sent: offline, or held
// back by the server's limits. By default 1,000 and 64 MiB; one more gives ErrQueueFull (PROTOCOL 9.5.3).
func WithQueueLimits(requests int, bytes int64) Option {
	return func(c *config) {
		given(&c.maxQueue, requests)
		given(&c.maxQueueBytes, bytes)
	}
}

// WithIteratorLimits sets how many events, and how many bytes of them, one iterator of a handle may hold for
// an application that does not take them. By default 4,096 and 4 MiB; one event always fits. An iterator
// that is full pauses, and goes on from its place in the server's log (PROTOCOL 6.4.4).
func WithIteratorLimits(events int, bytes int64) Option {
	return func(c *config) {
		given(&c.reader.maxEvents, events)
		given(&c.reader.maxBytes, bytes)
	}
}

// WithHeader adds a header to the HTTP upgrade and to downloads.
func WithHeader(key, value string) Option {
	return func(c *config) { c.header.Add(key, value) }
}

// WithHTTPClient sets what opens sockets and downloads files, http.DefaultClient by default: proxies,
// certificates, redirects.
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) { given(&c.httpClient, client) }
}

// WithCompression offers permessage-deflate. Limits count what is decompressed.
func WithCompression() Option {
	return func(c *config) { c.compression = true }
}

// WithApplicationName puts the application's name before this module's in hello.client.name.
func WithApplicationName(name string) Option {
	return func(c *config) { c.userAgent = name }
}

// WithLogger sets where the client logs; by default it does not. No token is ever logged.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) { given(&c.logger, logger) }
}

// WithStateFunc sets what is called with the first state of the connection and each one after it, in order,
// by one goroutine. It must not call Client.Close, which waits for it. While it is busy at most 1,000
// calls wait; then the oldest is left out.
func WithStateFunc(f func(State)) Option {
	return func(c *config) { c.onState = f }
}

// WithAnnouncementFunc sets what is called with each announcement of an operator, as WithStateFunc is.
func WithAnnouncementFunc(f func(Announcement)) Option {
	return func(c *config) { c.onAnnouncement = f }
}

// WithRandom sets where the waits come from: numbers from 0 to 1. For tests.
func WithRandom(random func() float64) Option {
	return func(c *config) {
		if random != nil {
			c.random = random
		}
	}
}

// WithClock sets what tells the time and wakes the client. For tests.
func WithClock(clock Clock) Option {
	return func(c *config) {
		if clock != nil {
			c.clock = clock
		}
	}
}

const maxTokenBytes = 16384

// checkToken says what is wrong with a token, without quoting it (PROTOCOL 3.2.7).
func checkToken(token string) error {
	if n := len(token); n == 0 || n > maxTokenBytes {
		return fmt.Errorf("a token has 1 to %d bytes, not %d", maxTokenBytes, n)
	}
	return nil
}

// checkedURL returns the WebSocket address that an address means: /v1/connect is put where a path lacks.
func checkedURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" || u.Fragment != "" {
		return nil, &ConfigurationError{"not an address like wss://host" + connectPath}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = connectPath
	}
	return u, nil
}

// httpBase returns the HTTP address beside a WebSocket address: https://host of wss://host/v1/connect.
// What a proxy put before /v1/connect stays.
func httpBase(u *url.URL) *url.URL {
	base := &url.URL{Scheme: "http", Host: u.Host, User: u.User}
	if u.Scheme == "wss" {
		base.Scheme = "https"
	}
	if prefix, ok := strings.CutSuffix(u.Path, connectPath); ok {
		base.Path = prefix
	}
	return base
}
