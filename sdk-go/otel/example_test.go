// SPDX-License-Identifier: Apache-2.0

package otel_test

import (
	"context"
	"log"

	"github.com/longcall/longcall/sdk-go"
	"github.com/longcall/longcall/sdk-go/otel"
)

func ExampleWithTracing() {
	client, err := longcall.Connect(context.Background(), "wss://example.com/v1/connect",
		longcall.WithToken("…"), otel.WithTracing(nil)) // nil: the global provider
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
}
