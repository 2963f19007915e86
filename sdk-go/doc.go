// SPDX-License-Identifier: Apache-2.0

// Package longcall is the Go client of longcall.
package longcall
