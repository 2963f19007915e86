// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails the run when a goroutine of the client, of its tests or of a socket is left behind.
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

func leftBehind() []string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for _, stack := range strings.Split(string(stacks), "\n\n") {
		ours := strings.Contains(stack, "longcall/sdk-go") || strings.Contains(stack, "coder/websocket")
		if ours && !strings.Contains(stack, "sdk-go.TestMain(") {
			left = append(left, stack)
		}
	}
	return left
}
