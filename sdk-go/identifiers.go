// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// uuid7 returns the UUID version 7 (RFC 9562) of a time in milliseconds and ten random bytes.
func uuid7(unixMilli int64, entropy [10]byte) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(unixMilli)<<16)
	copy(id[6:], entropy[:])
	id[6] = id[6]&0x0f | 0x70 // version
	id[8] = id[8]&0x3f | 0x80 // variant
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// newRequestID returns a fresh id, ordered by the time it was made (PROTOCOL 5.1.3).
func newRequestID() string {
	var entropy [10]byte
	_, _ = rand.Read(entropy[:]) // it never fails: without randomness it ends the program
	return uuid7(time.Now().UnixMilli(), entropy)
}
