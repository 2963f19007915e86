// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzTheProtocol plays a server that sends whatever it likes, line by line, to a client with a request, an attached
// handle and iterators. A line ~ loses the connection, + lets a minute pass. Nothing panics (PROTOCOL 9.9.2), and an
// iterator never goes back.
func FuzzTheProtocol(f *testing.F) {
	f.Add(strings.Join([]string{acknowledgment("a"), processing("a", 2, 1, 0), progress("a", 1, 1), chunk("a", 3), "~",
		snapshotText("a", "attach", "processing", 4), chunk("a", 3), chunk("a", 4), complete("a", 5)}, "\n"))
	f.Add(strings.Join([]string{refusal("a", "request", "RATE_LIMITED", true, ""), "+", refusal("b", "attach", "NOT_FOUND", false, ""),
		`{"type":"goaway","reason":"r","reconnect_after_ms":1}`, "+", "~", `{"type":"ping","nonce":"1"}`}, "\n"))
	f.Add(strings.Join([]string{snapshotText("b", "attach", "completed", 9), acknowledgment("b"), chunk("b", 4), "+", "~", "+",
		`{"type":"response","request_id":"a","result":null}`}, "\n"))
	f.Fuzz(func(t *testing.T, script string) {
		x := welcomed(t)
		tracked := []*tracked{x.submit("a"), x.attach("b")}
		readers := []*eventReader{x.read(tracked[0]), x.read(tracked[1])}
		x.cancel(tracked[0])
		var seen [2]int64
		for n, line := range strings.Split(script, "\n") {
			switch {
			case n > 200:
				return
			case line == "~":
				x.lose(0)
			case line == "+":
				x.pass(time.Minute)
			default:
				x.got(line)
			}
			if len(x.closed) > 0 && x.p.core.link(x.link) != nil && x.p.core.link(x.link).phase == linkClosing {
				x.obeyClose()
			}
			if l := x.p.core.link(x.link); l != nil && l.phase == linkOpening {
				x.welcome()
			}
			for i, reader := range readers {
				for _, event := range x.p.takeEvents(tracked[i], reader, make([]Event, 0, 16), x.now) {
					var seq int64
					switch e := event.(type) {
					case Status:
						seq = e.Seq
					case Chunk:
						seq = e.Seq
					default:
						continue
					}
					if seq <= seen[i] {
						t.Fatalf("event %d comes after %d", seq, seen[i])
					}
					seen[i] = seq
				}
				x.settle()
			}
		}
	})
}

// FuzzFrameGuard: however the stream is cut, the guard says the same.
func FuzzFrameGuard(f *testing.F) {
	f.Add(append(frame(3, false), frame(200, true)...))
	f.Add(frame(0x10000, false))
	f.Fuzz(func(t *testing.T, stream []byte) {
		read := func(r io.Reader) ([]byte, string) {
			got, err := io.ReadAll(&frameGuard{ReadWriteCloser: closable{r, io.Discard}})
			if err != nil {
				return got, err.Error()
			}
			return got, ""
		}
		whole, why := read(bytes.NewReader(stream))
		pieces, whyPieces := read(iotest.OneByteReader(bytes.NewReader(stream)))
		if !bytes.Equal(whole, pieces) || why != whyPieces || !bytes.HasPrefix(stream, whole) {
			t.Fatalf("%x: %x %s, in pieces %x %s", stream, whole, why, pieces, whyPieces)
		}
		if why == "" && len(whole) != len(stream) {
			t.Fatalf("%x: %d bytes are lost", stream, len(stream)-len(whole))
		}
	})
}
