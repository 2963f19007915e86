// SPDX-License-Identifier: Apache-2.0

// Report runs a report: its rows as they come, its progress on standard error, its result at the end.
//
//	LONGCALL_URL=ws://127.0.0.1:8765/v1/connect LONGCALL_TOKEN=… go run ./examples/report \
//		'{"format":"csv","report_type":"monthly"}'
//
// Every row is one line of canonical JSON, so that the examples of all languages print the same.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"

	"github.com/longcall/longcall/sdk-go"
)

func main() {
	// The end of this context ends the wait, not the report.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run follows the report from its first event to its end, whatever the connection does.
func run(ctx context.Context) error {
	payload := json.RawMessage(`{"format":"csv","report_type":"monthly"}`)
	if len(os.Args) > 1 {
		payload = json.RawMessage(os.Args[1])
	}
	client, err := longcall.Connect(ctx, os.Getenv("LONGCALL_URL"), longcall.WithToken(os.Getenv("LONGCALL_TOKEN")))
	if err != nil {
		return err
	}
	defer client.Close()
	handle, err := client.Submit(ctx, "generate_report", payload)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "request", handle.ID())
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for event, err := range handle.Events(ctx) {
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case longcall.Chunk:
			if err := printRows(out, e.Data); err != nil {
				return err
			}
		case longcall.Progress:
			if e.Percentage != nil {
				fmt.Fprintln(os.Stderr, "progress", *e.Percentage, e.Message)
			}
		case longcall.Status:
			fmt.Fprintln(os.Stderr, e.Status, e.Attempt)
		}
	}
	result, err := handle.Result(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "result ")
	return printLine(out, result)
}

// printRows prints the rows of a chunk and shows them at once.
func printRows(out *bufio.Writer, chunk json.RawMessage) error {
	var rows []json.RawMessage
	if err := json.Unmarshal(chunk, &rows); err != nil {
		return err
	}
	for _, row := range rows {
		if err := printLine(out, row); err != nil {
			return err
		}
	}
	return out.Flush()
}

func printLine(out *bufio.Writer, value json.RawMessage) error {
	line, err := longcall.CanonicalJSON(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", line)
	return err
}
