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
// # A request is a log
//
// A request is named by an id that its client chose, and lives on the server: it outlives connections, this process,
// and the server's restarts. What happens to it is a log of numbered events, which is stored before anybody is told of
// it. A connection only reads logs: when it is lost, another is opened, what was not answered is sent again under the
// same id, and events go on after the last one that was seen. Each comes once, in order, and none is lost.
//
// So nothing of the transport is an error of a request. An error that you see is the server's word, the end of your
// patience, or the end of the client. What goes on underneath is told by Client.States, and by WithLogger.
//
// # Call, Submit, Attach
//
// Client.Call gives the result, in a second or in a day. Client.Submit gives a RequestHandle as soon as the request is
// stored; Client.Attach gives the same handle for an id, in any process, until the request expires. A handle has the
// events (Status, Progress, Chunk) and the result. Each start of RequestHandle.Events yields the log from event 1, and
// ends at the terminal event only.
//
// An Action has the types of what goes in and comes out:
//
//	var GenerateReport = longcall.NewAction[Params, Report, Row]("generate_report")
//
//	report, err := GenerateReport.Call(ctx, client, Params{Format: "csv"})
//
// # Chunks and attempts
//
// When a worker dies, another attempt begins. Chunks of the one before that were not covered by a checkpoint are void:
// who collects chunks drops, at a Status with StatusProcessing, those whose Seq is greater than ChunksKeptTo.
//
// # Two clocks
//
// The context of a call is the patience of its caller. Its end detaches and never cancels: the error is a *WaitError,
// and Client.Attach comes back to the request. With CancelOnDone it cancels. WithDeadline is the deadline of the request,
// which the server keeps; RequestHandle.Cancel ends a request. There is no default timeout.
//
// # Errors
//
// A request that was refused or failed is an *Error; errors.Is asks for its code by ErrNotFound and its siblings.
// OutcomeUnknown is true where it may have run or not. *CloseError says that the client is closed for good, and
// ErrQueueFull that too much waits in this process. Nothing is told apart by text.
//
// # Concurrency
//
// Clients, handles and actions are safe for concurrent use. A client is one connection for any number of requests; an
// idle handle costs memory and no goroutine. No goroutine and no socket outlives Client.Close. Functions of the
// application are called by one goroutine, in turn, or by that of the call that they were given to; a panic in one is
// logged, and goes no further. The zero value of each option is as none; zero Clients and handles are of no use.
//
// # Tests and traces
//
// Package longcalltest is a server in memory for the tests of applications. WithTrace gives each request its
// traceparent; module longcall/otel makes spans of it.
//
// # Files
//
// client, handle, action: what an application uses. connection, transport: goroutines, sockets, the clock. protocol*: the
// protocol as one pure object, without any of these; PROTOCOL n.n cites the clause that a place keeps.
package longcall
