// SPDX-License-Identifier: Apache-2.0
// The conformance driver of the Go SDK, which it takes from this repository.
module github.com/longcall/longcall/conformance-tests/drivers/go

go 1.24

require github.com/longcall/longcall/sdk-go v0.0.0

require github.com/coder/websocket v1.8.15 // indirect

replace github.com/longcall/longcall/sdk-go => ../../../sdk-go
