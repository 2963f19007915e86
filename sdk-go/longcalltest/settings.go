// SPDX-License-Identifier: Apache-2.0

package longcalltest

import (
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// Limits are what a server announces; the zero value of one is what a real server does.
type Limits struct {
	// MaxMessageBytes is the largest message, 1 MiB by default.
	MaxMessageBytes int64
	// MaxInFlight is how many unfinished requests one owner may have, 1,000 by default.
	MaxInFlight int64
	// MessagesPerMinute is how many messages a client may send, 6,000 by default.
	MessagesPerMinute int64
	// MessageBurst is how many of them at once, 1,000 by default.
	MessageBurst int64
	// IDRetention is how long an id stays known after its log, 7 days by default.
	IDRetention time.Duration
}

func (l Limits) wire() wire.Limits {
	or := func(value, standard int64) int64 {
		if value == 0 {
			return standard
		}
		return value
	}
	return wire.Limits{MaxMessageBytes: or(l.MaxMessageBytes, 1<<20), MaxDepth: 64, MaxInFlight: or(l.MaxInFlight, 1000),
		MessagesPerMinute: or(l.MessagesPerMinute, 6000), MessageBurst: or(l.MessageBurst, 1000), MaxLogBytes: 64 << 20,
		IDRetentionMs: or(l.IDRetention.Milliseconds(), (7 * 24 * time.Hour).Milliseconds())}
}

// Identity is whom a token stands for.
type Identity struct {
	// Principal is what welcome calls it; requests belong to it. "principal" by default.
	Principal string
	// Life is how long the token is accepted from now on; an hour by default.
	Life time.Duration
}
