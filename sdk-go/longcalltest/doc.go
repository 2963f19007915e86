// SPDX-License-Identifier: Apache-2.0

// Package longcalltest is for the tests of applications, as net/http/httptest is for HTTP: a server in memory, whose
// clients are real ones. No port is opened, nothing waits for real time, and every message of both sides is checked by
// the schema.
//
//	server := longcalltest.NewServer()
//	defer server.Close()
//	server.On("generate_report", func(ctx context.Context, r *longcalltest.Request) (any, error) {
//		r.Progress(50, "half", nil)
//		r.Chunk([]string{"a row"})
//		return map[string]int{"rows": 1}, nil
//	})
//	client, err := server.Connect()
//
// Code under test that connects by itself is given server.URL and server.Options().
//
// # What can be played
//
// Handlers are played by scripts (On, OnQuick, OnRefuse) or by the test itself (Next). They hold by waiting for a
// channel of the test; Request.Retry begins another attempt, and Request.Checkpoint says which chunks then stand.
//
// The network is played by Drop (connections are lost, or closed with a code; clients are back at once), Refuse and
// Accept (nobody listens), Stall and Resume (half open), Goaway (a deploy).
//
// Time is that of Clock, which stands still until Clock.Advance.
//
// # What it is not
//
// It is no second server: there is no permission, no quota, no retention, no HTTP, and a log is not kept on a disk.
package longcalltest
