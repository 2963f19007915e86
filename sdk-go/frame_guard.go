// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// errMasked is what the WebSocket library reads instead of a frame that the server masked.
var errMasked = errors.New("the server sent a masked frame")

// frameGuard keeps what the WebSocket library does not: "A client MUST close a connection if it detects a
// masked frame" (RFC 6455, 5.1). It stands around the connection after the upgrade and follows the frames as they
// are read: it looks at headers only, and copies nothing.
type frameGuard struct {
	io.ReadWriteCloser
	header  [10]byte // of the frame that begins, as far as it has come
	have    int      // bytes of it
	payload uint64   // bytes that are left of the frame before the next header
	masked  atomic.Bool
}

// Read reads what comes before a masked frame, and then fails.
func (g *frameGuard) Read(p []byte) (int, error) {
	if g.masked.Load() {
		return 0, errMasked
	}
	n, err := g.ReadWriteCloser.Read(p)
	if good := g.follow(p[:n]); good < n {
		g.masked.Store(true)
		return good, errMasked
	}
	return n, err
}

// follow passes over the bytes that were read, and returns how many come before a masked frame is known.
func (g *frameGuard) follow(data []byte) int {
	for i := 0; i < len(data); {
		if g.payload > 0 {
			step := min(g.payload, uint64(len(data)-i))
			g.payload -= step
			i += int(step)
			continue
		}
		if g.have == 1 && data[i]&0x80 != 0 {
			return i
		}
		g.header[g.have] = data[i]
		g.have++
		i++
		if g.have >= 2 && g.have == headerLength(g.header[1]) {
			g.payload = payloadLength(g.header)
			g.have = 0
		}
	}
	return len(data)
}

// headerLength returns the length of an unmasked header whose second byte this is.
func headerLength(second byte) int {
	switch second & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

func payloadLength(header [10]byte) uint64 {
	switch n := header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(header[2:]))
	case 127:
		return binary.BigEndian.Uint64(header[2:])
	default:
		return uint64(n)
	}
}

// guardedUpgrade is the http.RoundTripper of one upgrade: it puts a frameGuard around what it yields.
type guardedUpgrade struct {
	base  http.RoundTripper
	guard *frameGuard // nil until the upgrade is done
}

func (u *guardedUpgrade) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := u.base.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		return response, err
	}
	if body, ok := response.Body.(io.ReadWriteCloser); ok { // else the library refuses it
		u.guard = &frameGuard{ReadWriteCloser: body}
		response.Body = u.guard
	}
	return response, nil
}

// guarded returns a client like this one whose upgrade is guarded.
func guarded(client *http.Client) (*http.Client, *guardedUpgrade) {
	upgrade := &guardedUpgrade{base: client.Transport}
	if upgrade.base == nil {
		upgrade.base = http.DefaultTransport
	}
	duplicate := *client
	duplicate.Transport = upgrade
	return &duplicate, upgrade
}
