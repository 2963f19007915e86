// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// connection drives the protocol with sockets, goroutines and a clock. It decides nothing: the protocol does.
//
// One goroutine, loop, owns the protocol; everybody else hands it functions by do. It ends when the client
// is closed for good and nothing else runs; from then on do owns the protocol by a lock.
type connection struct {
	config   *config
	address  *url.URL
	ctx      context.Context // of token functions and of dialling; ends with the client
	stop     context.CancelFunc
	protocol *protocol
	calls    *dispatcher

	work  chan func(now time.Duration)
	done  chan struct{} // loop has ended
	after sync.Mutex    // protects the protocol then

	// Owned by loop.
	stateChanged signal
	watchers     map[*stateWatcher]struct{}
	transports   map[int]*transport
	opening      map[int]context.CancelFunc
	running      int // goroutines that will still call do

	tokenTurn chan struct{} // holds one: one token is asked for at a time (PROTOCOL 9.4.5)
}

func newConnection(ctx context.Context, address *url.URL, c *config) *connection {
	conn := &connection{
		config:     c,
		address:    address,
		protocol:   newProtocol(c),
		calls:      newDispatcher(c.logger),
		work:       make(chan func(time.Duration)),
		done:       make(chan struct{}),
		watchers:   map[*stateWatcher]struct{}{},
		transports: map[int]*transport{},
		opening:    map[int]context.CancelFunc{},
		tokenTurn:  make(chan struct{}, 1),
	}
	// Values of the caller's context reach its token function; its end means the end of Connect alone.
	conn.ctx, conn.stop = context.WithCancel(context.WithoutCancel(ctx))
	return conn
}

// do runs f in the goroutine that owns the protocol, and returns when it and what follows from it is done.
// f must not block, nor call do.
func (c *connection) do(f func(now time.Duration)) {
	finished := make(chan struct{})
	step := func(now time.Duration) {
		defer close(finished)
		f(now)
		c.perform()
	}
	select {
	case c.work <- step:
		<-finished
	case <-c.done:
		c.after.Lock()
		defer c.after.Unlock()
		f(c.config.clock.Now())
		c.protocol.takeEffects()
	}
}

// post is do without waiting for the end of f, for goroutines that are counted in running.
func (c *connection) post(f func(now time.Duration)) { c.work <- f }

func (c *connection) loop() {
	defer close(c.done)
	defer c.calls.end()
	defer c.stop()
	timer := newAlarm(c.config.clock)
	defer timer.set(0, false)
	c.protocol.start()
	c.perform()
	for !c.protocol.connection.isClosed() || c.running > 0 {
		timer.set(c.protocol.nextTimeout())
		select {
		case f := <-c.work:
			f(c.config.clock.Now())
		case <-timer.fired:
			timer.set(0, false)
			c.protocol.handleTimeout(c.config.clock.Now())
		}
		c.perform()
	}
}

// perform does what the protocol wants done.
func (c *connection) perform() {
	for effects := c.protocol.takeEffects(); len(effects) > 0; effects = c.protocol.takeEffects() {
		for _, effect := range effects {
			c.performOne(effect)
		}
	}
}

func (c *connection) performOne(effect effect) {
	switch e := effect.(type) {
	case sendEffect:
		if t := c.transports[e.link]; t != nil {
			t.send(e.text)
		}
	case openEffect:
		ctx, cancel := context.WithCancel(c.ctx)
		c.opening[e.link] = cancel
		c.running++
		go c.runLink(ctx, e.link, e.reason)
	case closeEffect:
		c.closeLink(e)
	case readLimitEffect:
		if t := c.transports[e.link]; t != nil {
			t.setReadLimit(e.maxBytes)
		}
	case fetchTokenEffect:
		c.running++
		go c.refresh(e.link)
	case stateEffect:
		c.showState(e.state)
	case announceEffect:
		if f := c.config.onAnnouncement; f != nil {
			c.calls.add(func() { f(e.announcement) })
		}
	case tracedEffect:
		c.calls.mustAdd(e.ended)
	case warnEffect:
		c.config.logger.Warn(e.text)
	}
}

func (c *connection) closeLink(e closeEffect) {
	switch t := c.transports[e.link]; {
	case t == nil:
		if cancel := c.opening[e.link]; cancel != nil {
			cancel()
		}
	case e.abort:
		t.abort()
	default:
		t.close(e.code, e.reason)
	}
}

func (c *connection) showState(state State) {
	c.config.logger.Info("connection "+string(state.Name), "resumed", state.Resumed,
		"retry_in", state.RetryIn, "code", int(state.Code), "reason", state.Reason)
	if f := c.config.onState; f != nil {
		c.calls.add(func() { f(state) })
	}
	for watcher := range c.watchers {
		watcher.add(state)
	}
	c.stateChanged.fire()
	if state.Name.Terminal() {
		c.stop() // token functions and dialling give up
	}
}

// runLink opens a socket and reads it until it is closed. It ends by telling the protocol.
func (c *connection) runLink(ctx context.Context, id int, reason TokenReason) {
	t, token, err := c.open(ctx, id, reason)
	if err != nil {
		c.post(func(now time.Duration) {
			wasClosed := ctx.Err() != nil // by closeLink, as the protocol expects; forgetLink cancels it as well
			c.forgetLink(id)
			if wasClosed {
				c.protocol.handleClosed(id, 0, "", now)
				return
			}
			var failure openFailure
			if !errors.As(err, &failure) {
				failure.reason = err.Error()
			}
			c.protocol.handleOpenFailed(id, failure, now)
		})
		return
	}
	c.do(func(now time.Duration) {
		c.transports[id] = t
		if ctx.Err() != nil {
			t.abort()
		}
		c.protocol.handleOpened(id, token, now)
	})
	code, why := t.run(c.taker(id))
	c.post(func(now time.Duration) {
		c.forgetLink(id)
		c.protocol.handleClosed(id, code, why, now)
	})
}

func (c *connection) open(ctx context.Context, id int, reason TokenReason) (*transport, string, error) {
	token, err := c.fetchToken(ctx, reason)
	if err != nil {
		return nil, "", err
	}
	alive := func() {
		c.post(func(now time.Duration) { c.protocol.handleLife(id, now) })
	}
	t, err := openTransport(ctx, c.address, c.config, alive)
	return t, token, err
}

// taker hands messages to the protocol. The first one, welcome, sets the read limit of those that follow:
// it is waited for.
func (c *connection) taker(id int) func(bool, []byte) {
	hand := c.do
	return func(text bool, data []byte) {
		hand(func(now time.Duration) {
			if text {
				c.protocol.handleText(id, data, now)
			} else {
				c.protocol.handleBinary(id)
			}
		})
		hand = c.post
	}
}

func (c *connection) forgetLink(id int) {
	c.opening[id]() // frees what its context holds
	delete(c.opening, id)
	delete(c.transports, id)
	c.running--
}

// The token.

// fetchToken asks the application for a token, one call at a time; "" where the client has none.
func (c *connection) fetchToken(ctx context.Context, reason TokenReason) (string, error) {
	if c.config.token == nil {
		return "", nil
	}
	select {
	case c.tokenTurn <- struct{}{}:
		defer func() { <-c.tokenTurn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	token, err := c.callTokenFunc(ctx, reason)
	if err == nil {
		err = checkToken(token)
	}
	if err != nil {
		return "", fmt.Errorf("there is no token: %w", err)
	}
	return token, nil
}

func (c *connection) callTokenFunc(ctx context.Context, reason TokenReason) (token string, err error) {
	defer func() {
		if problem := recover(); problem != nil { // PROTOCOL 9.9.1
			c.config.logger.Error("the token function panicked", "panic", fmt.Sprintf("%T", problem))
			err = errors.New("the token function panicked")
		}
	}()
	return c.config.token(ctx, reason)
}

func (c *connection) refresh(id int) {
	token, err := c.fetchToken(c.ctx, TokenForRefresh)
	c.post(func(now time.Duration) {
		c.running--
		if err != nil {
			c.config.logger.Warn("the token is not refreshed", "error", err)
		}
		c.protocol.handleToken(id, token, now)
	})
}
