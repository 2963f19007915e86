// SPDX-License-Identifier: Apache-2.0

// The conformance driver of the Go SDK; ../README.md says what commands do.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
	features = []string{"announcement", "consume", "give_up", "http_status", "wait_state"}
	ofClient = []string{"submit", "call", "attach", "list", "close", "wait_state"}
	ofHandle = []string{"cancel", "detach", "snapshot"}
	ofAsk    = []string{"token", "token_fail"}
	waiting  = []string{"cancel", "snapshot", "list", "close", "reset", "wait_state"}
	ours     = regexp.MustCompile(`longcall/sdk-go\.|coder/websocket`)
	unseen   = []string{"updated_at", "created_at", "retry_at", "error"} // no case looks at these of an event
)

// driver holds clients and handles by the names that the runner gave them.
type driver struct {
	running sync.WaitGroup // what follows handles
	sockets int            // of the driver itself

	mu           sync.Mutex // protects what follows, and the output
	out          *json.Encoder
	events, asks int
	clients      map[string]*longcall.Client
	handles      map[string]*longcall.RequestHandle
	tokens       map[int]chan string           // "" makes the token function fail
	givingUp     map[string]context.CancelFunc // of calls
	taking       map[string]command            // the newest consume of a handle
	changed      *sync.Cond                    // taking
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
	d := &driver{sockets: countSockets(), out: json.NewEncoder(out), tokens: map[int]chan string{}}
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
	d.taking, d.givingUp = map[string]command{}, map[string]context.CancelFunc{}
	d.changed.Broadcast()
}

func (d *driver) locked(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// emit sends an event with the next number, and with the members of what the SDK gave.
func (d *driver) emit(event string, fields object, given any) {
	maps.Copy(fields, asObject(given))
	maps.DeleteFunc(fields, func(name string, _ any) bool { return slices.Contains(unseen, name) })
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
	client, handle, ask, giveUp := d.clients[c.Client], d.handles[c.Handle], d.tokens[c.Ask], d.givingUp[c.Handle]
	d.mu.Unlock()
	if client == nil && slices.Contains(ofClient, c.Cmd) || handle == nil && slices.Contains(ofHandle, c.Cmd) ||
		ask == nil && slices.Contains(ofAsk, c.Cmd) || giveUp == nil && c.Cmd == "give_up" {
		return nil, errUsage
	}
	ok = object{}
	switch c.Cmd {
	case "hello":
		ok = object{"sdk": "longcall-go", "version": longcall.Version, "language": runtime.Version(), "features": features}
	case "connect":
		err = d.connect(ctx, c)
	case "submit":
		d.start(ctx, c.Handle, func() (json.RawMessage, error) { return d.submit(ctx, client, c) })
	case "call":
		options := []longcall.CallOption{
			longcall.OnProgress(func(p longcall.Progress) { d.show(c.Handle, p) }),
			longcall.OnChunk(func(chunk longcall.Chunk) { d.show(c.Handle, chunk) }),
		}
		for _, option := range requestOptions(c) {
			options = append(options, option)
		}
		ctx, cancel := context.WithCancel(ctx)
		d.locked(func() { d.givingUp[c.Handle] = cancel })
		d.start(ctx, c.Handle, func() (json.RawMessage, error) { return client.Call(ctx, c.Action, c.Payload, options...) })
	case "give_up":
		giveUp()
	case "attach":
		if handle, err = client.Attach(c.RequestID); err == nil {
			d.locked(func() { d.handles[c.Handle] = handle })
			d.start(ctx, c.Handle, func() (json.RawMessage, error) { return d.follow(ctx, c.Handle, handle) })
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

// reset closes every client, and returns what the SDK left behind: its goroutines, and how many sockets.
func (d *driver) reset() (leaks []string) {
	d.mu.Lock()
	clients := d.clients
	d.forget()
	d.mu.Unlock()
	for _, client := range clients {
		_ = client.Close()
	}
	d.running.Wait()                          // every wait of a closed client has ended
	http.DefaultClient.CloseIdleConnections() // of refused upgrades; they are the application's
	for range 40 {                            // a goroutine that has done its work may still be seen
		stacks := make([]byte, 1<<20)
		leaks = strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
		leaks = slices.DeleteFunc(leaks, func(stack string) bool { return !ours.MatchString(stack) })
		if left := countSockets() - d.sockets; left > 0 {
			leaks = append(leaks, fmt.Sprintf("%d open sockets", left))
		}
		if len(leaks) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return leaks
}

// countSockets counts the open sockets of this process; 0 where the system does not show them as files.
func countSockets() (n int) {
	names, _ := filepath.Glob("/proc/self/fd/*")
	for _, name := range names {
		if target, _ := os.Readlink(name); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}
