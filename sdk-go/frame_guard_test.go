// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"
)

// frame is a text frame of a server, masked or not.
func frame(size int, masked bool) []byte {
	var mask byte
	var key []byte
	if masked {
		mask, key = 0x80, []byte{1, 2, 3, 4}
	}
	header := []byte{0x81, byte(size) | mask}
	switch {
	case size > 0xffff:
		header = []byte{0x81, 127 | mask, 0, 0, 0, 0, 0, byte(size >> 16), byte(size >> 8), byte(size)}
	case size > 125:
		header = []byte{0x81, 126 | mask, byte(size >> 8), byte(size)}
	}
	// A payload that looks like masked headers, wherever one would look for one.
	return append(append(header, key...), bytes.Repeat([]byte{0xff}, size)...)
}

type closable struct {
	io.Reader
	io.Writer
}

func (closable) Close() error { return nil }

func TestAMaskedFrameEndsTheReadingWhereverItsHeaderIsCutAndWhateverCameBefore(t *testing.T) {
	var good []byte
	for _, size := range []int{0, 1, 125, 126, 0xffff, 0x10000} {
		good = append(good, frame(size, false)...)
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader,
	}
	for name, cut := range readers {
		for _, size := range []int{0, 125, 126, 0x10000} {
			text := append(bytes.Clone(good), frame(size, true)...)
			guard := &frameGuard{ReadWriteCloser: closable{cut(bytes.NewReader(text)), io.Discard}}
			got, err := io.ReadAll(guard)
			if !errors.Is(err, errMasked) || !bytes.Equal(got, append(bytes.Clone(good), 0x81)) {
				t.Errorf("%s, a masked frame of %d: read %d of %d bytes, %v", name, size, len(got), len(good), err)
			}
			if _, err := guard.Read(make([]byte, 1)); !errors.Is(err, errMasked) {
				t.Errorf("%s: afterwards %v", name, err)
			}
		}
		guard := &frameGuard{ReadWriteCloser: closable{cut(bytes.NewReader(good)), io.Discard}}
		if got, err := io.ReadAll(guard); err != nil || !bytes.Equal(got, good) {
			t.Errorf("%s: of good frames %d of %d bytes, %v", name, len(got), len(good), err)
		}
	}
}

func TestTheGuardCopiesNothing(t *testing.T) {
	text, into := frame(4096, false), make([]byte, 512)
	source := bytes.NewReader(text)
	guard := &frameGuard{ReadWriteCloser: closable{source, io.Discard}}
	allocations := testing.AllocsPerRun(100, func() {
		source.Reset(text)
		for {
			if _, err := guard.Read(into); err != nil {
				return
			}
		}
	})
	if allocations != 0 {
		t.Fatalf("%v allocations a frame", allocations)
	}
}

// clause: 2.2.4, 7.3.2
func TestAMaskedFrameIsMetWith1002AndTheNextConnectionGoesOn(t *testing.T) {
	s := newTestServer(t)
	masked := make(chan []byte, 1)
	s.raw = func(conn io.ReadWriter) {
		_, _ = conn.Write(frame(2, true))
		answer, _ := io.ReadAll(conn)
		masked <- answer
	}
	client := s.connect()
	answer := <-masked
	if code := closeCodeOf(answer); code != 1002 {
		t.Fatalf("closed with %d: %x", code, answer)
	}
	s.welcome()
	if err := client.Ready(patient(t)); err != nil {
		t.Fatal(err)
	}
}

// closeCodeOf walks the frames of a client, which are masked and short, to its close; 0 if there is none.
func closeCodeOf(frames []byte) int {
	for len(frames) >= 6 {
		size, header := int(frames[1]&0x7f), 2
		if size == 126 {
			size, header = int(frames[2])<<8|int(frames[3]), 4
		}
		key, payload := frames[header:header+4], frames[header+4:header+4+size]
		if frames[0] == 0x88 {
			return int(payload[0]^key[0])<<8 | int(payload[1]^key[1])
		}
		frames = frames[header+4+size:]
	}
	return 0
}

func TestAnUpgradeThatYieldsNothingToWriteToIsLeftToTheLibrary(t *testing.T) {
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: http.NoBody}, nil
	})
	client, upgrade := guarded(&http.Client{Transport: base})
	request, _ := http.NewRequest(http.MethodGet, "http://example.com", nil)
	response, err := client.Transport.RoundTrip(request)
	if err != nil || response.Body != http.NoBody || upgrade.guard != nil {
		t.Fatalf("got %v, %v", response, err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
