// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"maps"
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// CallOption is an option of Client.Call: any RequestOption, OnProgress, OnChunk or OnStatus.
type CallOption interface{ applyToCall(*callSettings) }

// RequestOption is an option of Client.Submit and Client.Call. A zero duration, map or string is as none.
type RequestOption func(*requestSettings)

func (o RequestOption) applyToCall(s *callSettings) { o(&s.request) }

// WatchOption is an option of Client.Call that tells what happens meanwhile. A nil function is as none.
type WatchOption func(*callSettings)

func (o WatchOption) applyToCall(s *callSettings) { o(s) }

type requestSettings struct {
	message      wire.RequestMessage
	hasID        bool
	cancelOnDone bool
}

type callSettings struct {
	request    requestSettings
	onProgress func(Progress)
	onChunk    func(id string, chunk Chunk) error
	onStatus   func(Status)
}

func (s callSettings) watches() bool {
	return s.onProgress != nil || s.onChunk != nil || s.onStatus != nil
}

// tell calls the application for an event. The error is that of a chunk that does not fit its type.
func (s callSettings) tell(id string, event Event) (err error) {
	switch e := event.(type) {
	case Progress:
		if s.onProgress != nil {
			s.onProgress(e)
		}
	case Chunk:
		if s.onChunk != nil {
			err = s.onChunk(id, e)
		}
	case Status:
		if s.onStatus != nil {
			s.onStatus(e)
		}
	}
	return err
}

// WithID sets the id of the request, which is its idempotency key. By default it is a fresh UUIDv7.
func WithID(id string) RequestOption {
	return func(s *requestSettings) { s.message.ID, s.hasID = id, id != "" }
}

// WithDeadline sets when the server ends the request with TIMEOUT, counted from its acceptance. The patience of
// the caller is the context's.
func WithDeadline(after time.Duration) RequestOption {
	return func(s *requestSettings) { s.message.DeadlineMs = toMillis(after) }
}

// WithDelay sets the earliest start, counted from acceptance.
func WithDelay(delay time.Duration) RequestOption {
	return func(s *requestSettings) { s.message.DelayMs = toMillis(delay) }
}

// WithMetadata sets notes for the handler: at most 32 keys of 64, and values of 512 characters.
func WithMetadata(metadata map[string]string) RequestOption {
	return func(s *requestSettings) { s.message.Metadata = maps.Clone(metadata) }
}

// WithPriority sets which due request is begun first: 0 to 9, higher first; the server's default is 5.
func WithPriority(priority int) RequestOption {
	value := int64(priority)
	return func(s *requestSettings) { s.message.Priority = &value }
}

// WithCallbackURL sets where a signed webhook goes at the end (PROTOCOL 8.8).
func WithCallbackURL(url string) RequestOption {
	return func(s *requestSettings) { s.message.CallbackURL = present(url) }
}

// WithTraceparent sets the W3C trace context that the handler continues. It wins over that of WithTrace.
func WithTraceparent(traceparent string) RequestOption {
	return func(s *requestSettings) { s.message.Traceparent = present(traceparent) }
}

// CancelOnDone makes the end of a context cancel the request: that of Call, or with Submit that of Submit itself and
// of Result and Events of its handle. Without it the end of a context only detaches. The *WaitError tells by
// CancelRequested; nobody waits for the server's answer.
func CancelOnDone() RequestOption {
	return func(s *requestSettings) { s.cancelOnDone = true }
}

// OnProgress is called with each progress, in the goroutine of Call. A panic in it is logged, never more.
func OnProgress(f func(Progress)) WatchOption {
	return func(s *callSettings) { s.onProgress = f }
}

// OnChunk is called with each piece of the result, in order, each once, in the goroutine of Call. When an attempt
// begins anew, OnStatus tells which ones still stand (Status.ChunksKeptTo).
func OnChunk(f func(Chunk)) WatchOption {
	return func(s *callSettings) {
		s.onChunk = nil
		if f != nil {
			s.onChunk = func(_ string, chunk Chunk) error { f(chunk); return nil }
		}
	}
}

// OnStatus is called when the request is queued, begins, or will be tried again, in the goroutine of Call.
func OnStatus(f func(Status)) WatchOption {
	return func(s *callSettings) { s.onStatus = f }
}

// toMillis rounds up: a deadline of half a millisecond is no deadline of 0; 0 is none.
func toMillis(d time.Duration) *int64 {
	return present(int64((d + time.Millisecond - 1) / time.Millisecond))
}
