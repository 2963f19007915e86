// SPDX-License-Identifier: Apache-2.0

// Package longcall is the Go client of longcall: call it, watch its progress, get the result, whatever happens in
// between.
//
//	client, err := longcall.Connect(ctx, "wss://example.com/v1/connect", longcall.WithToken(fetchToken))
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	report, err := client.Call(ctx, "generate_report", map[string]any{"format": "csv"},
//		longcall.OnProgress(func(p longcall.Progress) { log.Println(p.Message) }))
//
// A request is named by an id that its client chose, and lives on the server: it outlives connections, this
// process, and the server's restarts. A dropped connection is opened again by itself, what was not answered
// is sent again under the same id, and events go on after the last one that was seen: each comes once, in
// order, and none is lost.
//
// # Two clocks
//
// The context of a call is the patience of its caller. Its end detaches and never cancels: the error is a
// *WaitError, and Client.Attach comes back to the request. WithDeadline is the deadline of the request, which
// the server keeps; RequestHandle.Cancel ends a request.
//
// # Files
//
// client, handle: what an application uses. connection, transport: goroutines, sockets, the clock. protocol*: the
// protocol as one pure object, without any of these; PROTOCOL n.n cites the clause that a place keeps.
package longcall
