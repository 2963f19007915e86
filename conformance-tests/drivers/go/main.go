// SPDX-License-Identifier: Apache-2.0

// The conformance driver of the Go SDK; ../README.md says what commands do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longcall/longcall/sdk-go"
)

type object = map[string]any

// command is any command of driver.schema.json; names without _ are found whatever their case.
type command struct {
	ID, Ask                                      int
	Cmd, Client, Handle, URL, Token, Reason, How string
	RequestID                                    string `json:"request_id"`
	DeadlineMs                                   int64  `json:"deadline_ms"`
	DelayMs                                      int64  `json:"delay_ms"`
	EveryMs                                      int64  `json:"every_ms"`
	Priority                                     *int
	Tuning                                       map[string]int64
	Payload                                      json.RawMessage
	Metadata                                     map[string]string
	longcall.Filter                              // Status, Action
	State                                        longcall.ConnectionState
}

var (
	errUsage = errors.New("no such command, client, handle or ask")
	ofClient = []string{"submit", "call", "attach", "list", "close", "wait_state"}
	ofHandle = []string{"cancel", "detach", "snapshot"}
	waiting  = []string{"cancel", "snapshot", "list", "close", "reset", "wait_state"}
	ours     = regexp.MustCompile(`longcall/sdk-go\.|coder/websocket`)
	unseen   = []string{"updated_at", "created_at", "retry_at", "error"} // no case looks at these of an event
)

// driver holds clients and handles by the names that the runner gave them.
type driver struct {
	running sync.WaitGroup // what follows handles

	mu           sync.Mutex // protects what follows, and the output
	out          *json.Encoder
	events, asks int
	clients      map[string]*longcall.Client
	handles      map[string]*longcall.RequestHandle
	tokens       map[int]chan string // "" makes the token function fail
	taking       map[string]command  // the newest consume of a handle
	changed      *sync.Cond          // taking
}

func main() {
	in, out := io.Reader(os.Stdin), io.Writer(os.Stdout)
	if len(os.Args) == 3 && os.Args[1] == "--connect" {
		peer, err := net.Dial("tcp", os.Args[2])
		if err != nil {
			panic(err)
		}
		in, out = peer, peer
	}
	d := &driver{out: json.NewEncoder(out), tokens: map[int]chan string{}}
	d.changed = sync.NewCond(&d.mu)
	d.forget()
	for commands, last := json.NewDecoder(in), ""; last != "bye"; {
		var c command
		if commands.Decode(&c) != nil {
			return
		}
		if last = c.Cmd; slices.Contains(waiting, c.Cmd) {
			go d.answer(c)
		} else {
			d.answer(c)
		}
	}
}

func (d *driver) forget() {
	d.clients, d.handles = map[string]*longcall.Client{}, map[string]*longcall.RequestHandle{}
	d.taking = map[string]command{}
	d.changed.Broadcast()
}

func (d *driver) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// emit sends an event with the next number, and with the members of what the SDK gave.
func (d *driver) emit(event string, fields object, given any) {
	for name, value := range asObject(given) {
		if !slices.Contains(unseen, name) {
			fields[name] = value
		}
	}
	d.locked(func() {
		d.events++
		fields["ev"], fields["n"] = event, d.events
		_ = d.out.Encode(fields)
	})
}

// answer does one command and replies to it.
func (d *driver) answer(c command) {
	reply := object{"re": c.ID}
	if ok, err := d.obey(context.Background(), c); err != nil {
		reply["err"] = described(err)
	} else {
		reply["ok"] = ok
	}
	d.locked(func() { _ = d.out.Encode(reply) })
}

func (d *driver) obey(ctx context.Context, c command) (ok object, err error) {
	d.mu.Lock()
	client, handle, ask := d.clients[c.Client], d.handles[c.Handle], d.tokens[c.Ask]
	d.mu.Unlock()
	if client == nil && slices.Contains(ofClient, c.Cmd) || handle == nil && slices.Contains(ofHandle, c.Cmd) ||
		ask == nil && strings.HasPrefix(c.Cmd, "token") {
		return nil, errUsage
	}
	ok = object{}
	switch c.Cmd {
	case "hello":
		features := []string{"announcement", "consume", "http_status", "wait_state"}
		ok = object{"sdk": "longcall-go", "version": longcall.Version, "language": runtime.Version(), "features": features}
	case "connect":
		err = d.connect(ctx, c)
	case "submit":
		d.start(c.Handle, func() (json.RawMessage, error) { return d.submit(ctx, client, c) })
	case "call":
		options := []longcall.CallOption{
			longcall.OnProgress(func(p longcall.Progress) { d.show(c.Handle, p) }),
			longcall.OnChunk(func(chunk longcall.Chunk) { d.show(c.Handle, chunk) }),
		}
		for _, option := range requestOptions(c) {
			options = append(options, option)
		}
		d.start(c.Handle, func() (json.RawMessage, error) { return client.Call(ctx, c.Action, c.Payload, options...) })
	case "attach":
		if handle, err = client.Attach(c.RequestID); err == nil {
			d.locked(func() { d.handles[c.Handle] = handle })
			d.start(c.Handle, func() (json.RawMessage, error) { return d.follow(ctx, c.Handle, handle) })
		}
	case "cancel":
		err = handle.Cancel(ctx, c.Reason)
	case "detach":
		handle.Detach()
	case "snapshot":
		ok["snapshot"], err = handle.Snapshot(ctx)
	case "list":
		requests := []longcall.RequestSummary{}
		for summary, failed := range client.Requests(ctx, c.Filter) {
			requests, err = append(requests, summary), failed
		}
		ok["requests"] = requests
	case "token", "token_fail":
		ask <- c.Token
	case "close":
		err = client.Close()
	case "wait_state":
		for state := range client.States(ctx) {
			if state.Name == c.State {
				break
			}
		}
	case "consume":
		d.locked(func() { d.taking[c.Handle] = c; d.changed.Broadcast() })
	case "reset", "bye":
		ok["leaks"] = d.reset()
	default:
		err = errUsage
	}
	return ok, err
}

func (d *driver) connect(ctx context.Context, c command) error {
	token := longcall.WithToken(c.Token)
	if c.Token == "" {
		token = longcall.WithToken(func(ctx context.Context, reason longcall.TokenReason) (string, error) {
			answer, ask := make(chan string, 1), 0
			d.locked(func() { d.asks++; ask = d.asks; d.tokens[ask] = answer })
			d.emit("token.needed", object{"client": c.Client, "ask": ask, "reason": reason}, nil)
			select {
			case token := <-answer: // "": the runner says no, and so does the SDK
				return token, nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		})
	}
	tuned := func(name string) time.Duration { return millis(c.Tuning[name]) }
	client, err := longcall.Connect(ctx, c.URL, token,
		longcall.WithStateFunc(func(s longcall.State) { d.emit("connection.state", object{"client": c.Client}, s) }),
		longcall.WithAnnouncementFunc(func(a longcall.Announcement) { d.emit("announcement", object{"client": c.Client}, a) }),
		longcall.WithBackoff(tuned("backoff_initial_ms"), tuned("backoff_max_ms")),
		longcall.WithTimeouts(tuned("connect_timeout_ms"), 0),
		longcall.WithQueueLimits(int(c.Tuning["queue_max_requests"]), 0))
	if err == nil {
		d.locked(func() { d.clients[c.Client] = client })
	}
	return err
}

func requestOptions(c command) []longcall.RequestOption {
	options := []longcall.RequestOption{longcall.WithID(c.RequestID), longcall.WithMetadata(c.Metadata),
		longcall.WithDeadline(millis(c.DeadlineMs)), longcall.WithDelay(millis(c.DelayMs))}
	if c.Priority != nil {
		options = append(options, longcall.WithPriority(*c.Priority))
	}
	return options
}

func (d *driver) submit(ctx context.Context, client *longcall.Client, c command) (json.RawMessage, error) {
	handle, err := client.Submit(ctx, c.Action, c.Payload, requestOptions(c)...)
	if err != nil {
		return nil, err
	}
	d.locked(func() { d.handles[c.Handle] = handle })
	d.emit("handle.acknowledged", object{"handle": c.Handle, "request_id": handle.ID()}, nil)
	return d.follow(ctx, c.Handle, handle)
}

// follow reads the events beside the wait for the result.
func (d *driver) follow(ctx context.Context, name string, handle *longcall.RequestHandle) (json.RawMessage, error) {
	d.run(func() {
		end := object{"handle": name}
		for event, err := range handle.Events(ctx) {
			if err != nil {
				end["err"] = described(err)
				break
			}
			var pause int64
			d.locked(func() {
				for d.taking[name].How == "stop" {
					d.changed.Wait()
				}
				pause = d.taking[name].EveryMs
			})
			time.Sleep(millis(pause))
			d.show(name, event)
		}
		d.emit("handle.end", end, nil)
	})
	return handle.Result(ctx)
}

// show tells of a Status, Progress or Chunk under its name.
func (d *driver) show(handle string, event longcall.Event) {
	_, kind, _ := strings.Cut(fmt.Sprintf("%T", event), ".")
	d.emit("handle."+strings.ToLower(kind), object{"handle": handle}, event)
}

func (d *driver) run(work func()) {
	d.running.Add(1)
	go func() { defer d.running.Done(); work() }()
}

// start works on a handle, and tells what comes of it.
func (d *driver) start(handle string, work func() (json.RawMessage, error)) {
	d.run(func() {
		if result, err := work(); err != nil {
			d.emit("handle.error", object{"handle": handle, "err": described(err)}, nil)
		} else {
			d.emit("handle.result", object{"handle": handle, "result": result}, nil)
		}
	})
}

// reset closes every client, and returns the goroutines of the SDK that are left behind.
func (d *driver) reset() (leaks []string) {
	d.mu.Lock()
	clients := d.clients
	d.forget()
	d.mu.Unlock()
	for _, client := range clients {
		_ = client.Close()
	}
	d.running.Wait() // every wait of a closed client has ended
	for range 40 {   // a goroutine that has done its work may still be seen
		stacks := make([]byte, 1<<20)
		leaks = strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
		leaks = slices.DeleteFunc(leaks, func(stack string) bool { return !ours.MatchString(stack) })
		if len(leaks) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return leaks
}

// described returns an error by the driver protocol.
func described(err error) object {
	fields := object{"kind": "other", "message": err.Error()}
	switch e := err.(type) {
	case *longcall.Error:
		fields = asObject(e)
		fields["kind"] = "request"
	case *longcall.CloseError:
		fields["kind"], fields["outcome_unknown"] = "connection_closed", e.OutcomeUnknown
	case *longcall.ConfigurationError:
		fields["kind"] = "configuration"
	case *longcall.WaitError:
		fields["kind"] = "wait_timeout"
	}
	if errors.Is(err, longcall.ErrQueueFull) {
		fields["kind"] = "queue_full"
	} else if err == errUsage {
		fields["kind"] = "usage"
	}
	return fields
}

// asObject returns what the SDK gave as its JSON object, whose names are those of the wire; nil of nil.
func asObject(given any) (fields object) {
	text, _ := json.Marshal(given)
	_ = json.Unmarshal(text, &fields)
	return fields
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
