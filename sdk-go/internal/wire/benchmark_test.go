// SPDX-License-Identifier: Apache-2.0

package wire

import "testing"

// usual are messages as a server sends them most.
var usual = map[string]string{
	"chunk": `{"type":"chunk","request_id":"0198e5f0-7a5e-7cc4-8f63-2f3f6c1c9a3e","seq":17,"attempt":1,"data":{"rows":[[1,"Ada",true],[2,"Grace",null]]}}`,
	"progress": `{"type":"progress","request_id":"0198e5f0-7a5e-7cc4-8f63-2f3f6c1c9a3e","attempt":1,"version":4,"percentage":12.5,` +
		`"message":"page 4","updated_at":"2026-11-23T18:40:00.120Z"}`,
	"status":   `{"type":"status","request_id":"0198e5f0-7a5e-7cc4-8f63-2f3f6c1c9a3e","seq":2,"status":"processing","attempt":1,"chunks_kept_to":0}`,
	"complete": `{"type":"complete","request_id":"0198e5f0-7a5e-7cc4-8f63-2f3f6c1c9a3e","seq":18,"result":{"rows":2,"file":"report.csv"}}`,
	"ping":     `{"type":"ping"}`,
}

// BenchmarkDecode shows what one message costs: time, bytes, allocations.
func BenchmarkDecode(b *testing.B) {
	for kind, text := range usual {
		b.Run(kind, func(b *testing.B) {
			data := []byte(text)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeServerMessage(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestAMessageCostsFewAllocationsAndItsPayloadNone: one pass, and what is any JSON shares the memory of the message.
func TestAMessageCostsFewAllocationsAndItsPayloadNone(t *testing.T) {
	most := map[string]float64{"chunk": 3, "progress": 7, "status": 4, "complete": 3, "ping": 2}
	for kind, text := range usual {
		data := []byte(text)
		got := testing.AllocsPerRun(100, func() {
			if _, err := DecodeServerMessage(data); err != nil {
				t.Fatal(err)
			}
		})
		t.Log(kind, got)
		if got > most[kind] {
			t.Errorf("%s: %v allocations, more than %v", kind, got, most[kind])
		}
	}
}
