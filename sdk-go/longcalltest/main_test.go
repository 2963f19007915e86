// SPDX-License-Identifier: Apache-2.0

package longcalltest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

// patience bounds every wait of these tests; none comes near it.
const patience = 20 * time.Second

// TestMain fails the run when a goroutine is left behind that is not the runtime's or the test's own.
func TestMain(m *testing.M) {
	code := m.Run()
	var left string
	for range 100 { // a goroutine that has done its work may still be seen
		stacks := make([]byte, 4<<20)
		left = string(stacks[:runtime.Stack(stacks, true)])
		if strings.Count(left, "\n\ngoroutine ") == 0 {
			os.Exit(code)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "left behind:\n\n"+left)
	os.Exit(max(code, 1))
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// start returns a server and a client of it.
func start(t *testing.T, options ...longcall.Option) (*longcalltest.Server, *longcall.Client) {
	t.Helper()
	server := longcalltest.NewServer()
	t.Cleanup(server.Close)
	client, err := server.Connect(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return server, client
}

// wait returns when the client is in a state.
func wait(t *testing.T, client *longcall.Client, name longcall.ConnectionState) longcall.State {
	t.Helper()
	for state := range client.States(patient(t)) {
		if state.Name == name {
			return state
		}
	}
	t.Fatalf("the client is never %s", name)
	return longcall.State{}
}
