// SPDX-License-Identifier: Apache-2.0

package longcall

// Version is the version of this module, as it stands in hello.client.version.
const Version = "0.1.0"

const (
	clientName  = "longcall-go"
	subprotocol = "longcall.v1"
	connectPath = "/v1/connect"
)
