// SPDX-License-Identifier: Apache-2.0

// The conformance driver of the Go SDK; ../README.md says what commands do.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/longcall/longcall/sdk-go"
)

type object = map[string]any

// command is any command of driver.schema.json.
type command struct {
	ID         int                      `json:"id"`
	Cmd        string                   `json:"cmd"`
	Client     string                   `json:"client"`
	Handle     string                   `json:"handle"`
	URL        string                   `json:"url"`
	Token      string                   `json:"token"`
	Ask        int                      `json:"ask"`
	Tuning     map[string]int           `json:"tuning"`
	Action     string                   `json:"action"`
	Payload    json.RawMessage          `json:"payload"`
	RequestID  string                   `json:"request_id"`
	DeadlineMs *int64                   `json:"deadline_ms"`
	DelayMs    *int64                   `json:"delay_ms"`
	Priority   *int                     `json:"priority"`
	Metadata   map[string]string        `json:"metadata"`
	Reason     string                   `json:"reason"`
	Status     []longcall.RequestStatus `json:"status"`
	State      string                   `json:"state"`
	How        string                   `json:"how"`
	EveryMs    int                      `json:"every_ms"`
}

var errUsage = errors.New("no such command, client, handle or ask")

// driver holds clients and handles by the names that the runner gave them.
type driver struct {
	running sync.WaitGroup // what follows handles

	mu      sync.Mutex // protects what follows, and standard output
	out     *bufio.Writer
	events  int
	asks    int
	clients map[string]*longcall.Client
	handles map[string]*longcall.RequestHandle
	tokens  map[int]chan string // "" makes the token function fail
	states  map[string]longcall.ConnectionState
	taking  map[string]taking
	changed *sync.Cond // states or taking, under mu
}

func main() {
	source, sink := io.Reader(os.Stdin), io.Writer(os.Stdout)
	if len(os.Args) == 3 && os.Args[1] == "--connect" {
		peer, err := net.Dial("tcp", os.Args[2])
		if err != nil {
			panic(err)
		}
		source, sink = peer, peer
	}
	d := &driver{out: bufio.NewWriter(sink), tokens: map[int]chan string{}}
	d.changed = sync.NewCond(&d.mu)
	d.forget()
	in := bufio.NewReaderSize(source, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var c command
		if err := json.Unmarshal(line, &c); err != nil {
			fmt.Fprintln(os.Stderr, "not a command:", err)
			continue
		}
		if c.Cmd == "bye" {
			d.answer(c)
			return
		}
		switch c.Cmd {
		case "cancel", "snapshot", "list", "close", "reset", "wait_state":
			go d.answer(c) // they wait
		default:
			d.answer(c)
		}
	}
}

func (d *driver) forget() {
	d.clients, d.handles = map[string]*longcall.Client{}, map[string]*longcall.RequestHandle{}
	d.states, d.taking = map[string]longcall.ConnectionState{}, map[string]taking{}
}

// write sends a line.
func (d *driver) write(message any) {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	_, _ = d.out.Write(append(text, '\n'))
	_ = d.out.Flush()
}

// emit sends an event with the next number.
func (d *driver) emit(event string, fields object) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events++
	fields["ev"], fields["n"] = event, d.events
	d.write(fields)
}

// answer does one command and replies to it.
func (d *driver) answer(c command) {
	ok, err := d.obey(context.Background(), c)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err != nil:
		d.write(object{"re": c.ID, "err": described(err)})
	case ok == nil:
		d.write(object{"re": c.ID, "ok": object{}})
	default:
		d.write(object{"re": c.ID, "ok": ok})
	}
}

func (d *driver) obey(ctx context.Context, c command) (object, error) {
	d.mu.Lock()
	client, handle, ask := d.clients[c.Client], d.handles[c.Handle], d.tokens[c.Ask]
	d.mu.Unlock()
	needs := map[string]bool{
		"submit": client != nil, "call": client != nil, "attach": client != nil, "list": client != nil,
		"close": client != nil, "wait_state": client != nil, "cancel": handle != nil, "detach": handle != nil, "snapshot": handle != nil,
		"token": ask != nil, "token_fail": ask != nil,
	}
	if has, needed := needs[c.Cmd]; needed && !has {
		return nil, errUsage
	}
	switch c.Cmd {
	case "hello":
		return object{"sdk": "longcall-go", "version": longcall.Version, "language": runtime.Version(), "features": []string{"announcement", "consume", "http_status", "wait_state"}}, nil
	case "connect":
		return nil, d.connect(ctx, c)
	case "submit":
		d.start(c.Handle, func() error { return d.submit(ctx, client, c) })
	case "call":
		d.start(c.Handle, func() error { return d.call(ctx, client, c) })
	case "attach":
		attached, err := client.Attach(c.RequestID)
		if err == nil {
			d.keep(c.Handle, attached)
			d.start(c.Handle, func() error { return d.follow(ctx, c.Handle, attached) })
		}
		return nil, err
	case "cancel":
		return nil, handle.Cancel(ctx, c.Reason)
	case "detach":
		handle.Detach()
	case "snapshot":
		snapshot, err := handle.Snapshot(ctx)
		return object{"snapshot": snapshot}, err
	case "list":
		requests := []longcall.RequestSummary{}
		for summary, err := range client.Requests(ctx, longcall.Filter{Status: c.Status, Action: c.Action}) {
			if err != nil {
				return nil, err
			}
			requests = append(requests, summary)
		}
		return object{"requests": requests}, nil
	case "token":
		ask <- c.Token
	case "token_fail":
		ask <- ""
	case "close":
		return nil, client.Close()
	case "wait_state":
		d.waitState(c.Client, longcall.ConnectionState(c.State))
	case "consume":
		d.consume(c)
	case "reset", "bye":
		return object{"leaks": d.reset()}, nil
	default:
		return nil, errUsage
	}
	return nil, nil
}

func (d *driver) submit(ctx context.Context, client *longcall.Client, c command) error {
	handle, err := client.Submit(ctx, c.Action, payload(c), requestOptions(c)...)
	if err != nil {
		return err
	}
	d.keep(c.Handle, handle)
	d.emit("handle.acknowledged", object{"handle": c.Handle, "request_id": handle.ID()})
	return d.follow(ctx, c.Handle, handle)
}

func (d *driver) call(ctx context.Context, client *longcall.Client, c command) error {
	options := []longcall.CallOption{
		longcall.OnProgress(func(p longcall.Progress) { d.show(c.Handle, p) }),
		longcall.OnChunk(func(chunk longcall.Chunk) { d.show(c.Handle, chunk) }),
	}
	for _, option := range requestOptions(c) {
		options = append(options, option)
	}
	result, err := client.Call(ctx, c.Action, payload(c), options...)
	if err == nil {
		d.emit("handle.result", object{"handle": c.Handle, "result": result})
	}
	return err
}

// follow reads the events beside the wait for the result.
func (d *driver) follow(ctx context.Context, name string, handle *longcall.RequestHandle) error {
	d.start(name, func() error {
		end := object{"handle": name}
		for event, err := range handle.Events(ctx) {
			if err != nil {
				end["err"] = described(err)
				break
			}
			d.take(name)
			d.show(name, event)
		}
		d.emit("handle.end", end)
		return nil
	})
	result, err := handle.Result(ctx)
	if err == nil {
		d.emit("handle.result", object{"handle": name, "result": result})
	}
	return err
}

func (d *driver) start(name string, work func() error) {
	d.running.Add(1)
	go func() {
		defer d.running.Done()
		if err := work(); err != nil {
			d.emit("handle.error", object{"handle": name, "err": described(err)})
		}
	}()
}

func (d *driver) keep(name string, handle *longcall.RequestHandle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handles[name] = handle
}

// reset closes every client, and looks for what is left behind.
func (d *driver) reset() []string {
	d.mu.Lock()
	clients := d.clients
	d.forget()
	d.changed.Broadcast()
	d.mu.Unlock()
	for _, client := range clients {
		_ = client.Close()
	}
	d.running.Wait() // every wait of a closed client has ended
	leaks := leftBehind()
	for range 40 { // a goroutine that has done its work may still be seen
		if len(leaks) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
		leaks = leftBehind()
	}
	return leaks
}

// leftBehind returns the goroutines of the SDK.
func leftBehind() []string {
	leaks := []string{}
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "longcall/sdk-go.") || strings.Contains(stack, "coder/websocket") {
			leaks = append(leaks, stack)
		}
	}
	return leaks
}
