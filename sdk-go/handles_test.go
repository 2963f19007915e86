// SPDX-License-Identifier: Apache-2.0

package longcall_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

const (
	// mostBytes bounds the memory of an idle handle: of the client, and the little that the server beside it keeps for
	// a reader of its log.
	mostBytes = 8 << 10
	// mostGoroutines bounds those of a client with any number of handles: its own, and those of its socket at both ends.
	mostGoroutines = 16
)

// handlesOf returns how many handles a client has in this run: LONGCALL_HANDLES (make handles), or a smoke.
func handlesOf(t *testing.T) int {
	text := os.Getenv("LONGCALL_HANDLES")
	if text == "" {
		return 1000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// used returns the memory that is used, and the goroutines that there are.
func used() (bytes int64, goroutines int) {
	var stats runtime.MemStats
	for range 3 { // finalizers and weak pointers need more than one
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc), runtime.NumGoroutine()
}

func TestManyHandlesOnOneClientCostLittleMemoryAndNoGoroutineEach(t *testing.T) {
	count := handlesOf(t)
	server := longcalltest.NewServer()
	defer server.Close()
	server.SetLimits(longcalltest.Limits{MaxInFlight: 1 << 20, MessagesPerMinute: 1 << 30, MessageBurst: 1 << 20})
	server.On("f", nil)
	first := connect(t, server)
	requests := make([]*longcalltest.Request, 0, count)
	for range count {
		if _, err := first.Submit(patient(t), "f", nil); err != nil {
			t.Fatal(err)
		}
		r, err := server.Next(patient(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, r)
	}
	_ = first.Close()
	bytesBefore, goroutinesBefore := used()
	client := connect(t, server)
	handles := make([]*longcall.RequestHandle, 0, count)
	for _, r := range requests {
		handle, err := client.Attach(r.ID)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, handle)
	}
	for _, handle := range handles { // each is followed by now
		if _, err := handle.Snapshot(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	bytes, goroutines := used()
	each := (bytes - bytesBefore) / int64(count)
	t.Logf("%d handles: %d bytes each, %d goroutines in all", count, each, goroutines-goroutinesBefore)
	if each > mostBytes || goroutines-goroutinesBefore > mostGoroutines {
		t.Errorf("more than %d bytes a handle, or than %d goroutines", mostBytes, mostGoroutines)
	}
	results := make(chan error, count)
	for _, handle := range handles {
		go func() {
			result, err := handle.Result(patient(t))
			if err == nil && !strings.HasSuffix(string(result), handle.ID()+`"`) {
				t.Errorf("%s: got %s", handle.ID(), result)
			}
			results <- err
		}()
	}
	server.Drop(0) // all are attached again, and each gets its own result
	for _, r := range requests {
		r.Complete("of " + r.ID)
	}
	for range count {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	runtime.KeepAlive(handles)
}
