// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run when a goroutine is left behind.
func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	var left []string
	for range 100 { // a goroutine that has done its work may still be seen
		if left = leftBehind(); len(left) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if len(left) > 0 {
		fmt.Fprintf(os.Stderr, "left behind:\n\n%s\n", strings.Join(left, "\n\n"))
		code = max(code, 1)
	}
	os.Exit(code)
}

// leftBehind returns the stacks of all goroutines but this one, and that of signals, which go test begins when it fuzzes
// and never ends. Those of the runtime are not among them, and no test may leave one of any kind: none is looked for by
// its name.
func leftBehind() []string {
	stacks := make([]byte, 4<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")[1:]
	return slices.DeleteFunc(all, func(stack string) bool { return strings.Contains(stack, "os/signal.loop()") })
}

// TestALeakIsSeen holds the check of TestMain to what it promises.
func TestALeakIsSeen(t *testing.T) {
	before, leave, left := len(leftBehind()), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		<-leave
	}()
	if n := len(leftBehind()); n != before+1 {
		t.Errorf("%d goroutines, and then %d", before, n)
	}
	close(leave)
	<-left
}
