// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	"github.com/longcall/longcall/sdk-go"
)

func (d *driver) connect(ctx context.Context, c command) error {
	token := longcall.WithToken(c.Token)
	if c.Token == "" {
		token = longcall.WithToken(func(ctx context.Context, reason longcall.TokenReason) (string, error) {
			return d.askToken(ctx, c.Client, reason)
		})
	}
	options := []longcall.Option{
		token,
		longcall.WithStateFunc(func(s longcall.State) { d.showState(c.Client, s) }),
		longcall.WithAnnouncementFunc(func(a longcall.Announcement) {
			fields := asObject(a)
			delete(fields, "created_at")
			fields["client"] = c.Client
			d.emit("announcement", fields)
		}),
	}
	tuned := func(name string, standard int) time.Duration {
		if value, ok := c.Tuning[name]; ok {
			standard = value
		}
		return time.Duration(standard) * time.Millisecond
	}
	options = append(options,
		longcall.WithBackoff(tuned("backoff_initial_ms", 500), tuned("backoff_max_ms", 20_000)),
		longcall.WithTimeouts(tuned("connect_timeout_ms", 10_000), time.Second))
	if n, ok := c.Tuning["queue_max_requests"]; ok {
		options = append(options, longcall.WithQueueLimits(n, 64<<20))
	}
	client, err := longcall.Connect(ctx, c.URL, options...)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.clients[c.Client] = client
	}
	return err
}

func (d *driver) askToken(ctx context.Context, client string, reason longcall.TokenReason) (string, error) {
	answer := make(chan string, 1)
	d.mu.Lock()
	d.asks++
	ask := d.asks
	d.tokens[ask] = answer
	d.mu.Unlock()
	d.emit("token.needed", object{"client": client, "ask": ask, "reason": reason})
	select {
	case token := <-answer:
		if token == "" {
			return "", errors.New("the runner says no")
		}
		return token, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// waitState returns when a client is in a state, or the driver was reset.
func (d *driver) waitState(client string, state longcall.ConnectionState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.clients[client] != nil && d.states[client] != state {
		d.changed.Wait()
	}
}

// taking is how the application takes the events of a handle.
type taking struct {
	stopped bool
	pause   time.Duration // before each
}

func (d *driver) consume(c command) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how := taking{stopped: c.How == "stop"}
	if c.How == "slow" {
		how.pause = time.Duration(max(c.EveryMs, 1)) * time.Millisecond
	}
	d.taking[c.Handle] = how
	d.changed.Broadcast()
}

// take waits for as long as the application takes no event of a handle.
func (d *driver) take(handle string) {
	d.mu.Lock()
	pause := d.taking[handle].pause
	d.mu.Unlock()
	time.Sleep(pause)
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.taking[handle].stopped {
		d.changed.Wait()
	}
}

func (d *driver) showState(client string, s longcall.State) {
	d.mu.Lock()
	d.states[client] = s.Name
	d.changed.Broadcast()
	d.mu.Unlock()
	fields := object{"client": client, "state": s.Name}
	switch s.Name {
	case longcall.ConnectionReady:
		fields["resumed"] = s.Resumed
	case longcall.ConnectionReconnecting:
		fields["retry_in_ms"] = float64(s.RetryIn) / float64(time.Millisecond)
	}
	if s.Code != 0 {
		fields["code"] = s.Code
	}
	if s.Reason != "" {
		fields["reason"] = s.Reason
	}
	d.emit("connection.state", fields)
}
