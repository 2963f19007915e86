// SPDX-License-Identifier: Apache-2.0

package longcalltest_test

import (
	"context"
	"fmt"
	"log"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/longcalltest"
)

// report is the code under test.
func report(ctx context.Context, client *longcall.Client) (string, error) {
	result, err := client.Call(ctx, "generate_report", nil)
	return string(result), err
}

func Example() {
	server := longcalltest.NewServer()
	defer server.Close()
	server.On("generate_report", func(ctx context.Context, r *longcalltest.Request) (any, error) {
		r.Progress(50, "half", nil)
		server.Drop(0) // the network goes away, and comes back
		return map[string]int{"rows": 2}, nil
	})
	client, err := server.Connect()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(report(context.Background(), client))
	// Output: {"rows":2} <nil>
}

func ExampleServer_Next() {
	server := longcalltest.NewServer()
	defer server.Close()
	server.On("generate_report", nil) // the test plays the handler
	client, err := server.Connect()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	handle, err := client.Submit(ctx, "generate_report", nil)
	if err != nil {
		log.Fatal(err)
	}
	request, err := server.Next(ctx, "generate_report")
	if err != nil {
		log.Fatal(err)
	}
	request.Fail(&longcall.Error{Code: longcall.CodeHandlerError, Message: "no data"})
	_, err = handle.Result(ctx)
	fmt.Println(err.(*longcall.Error).Message)
	// Output: no data
}
