// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// downloads serves one answer as the file report.csv of request a, and downloads it to path.
func downloads(t *testing.T, path, name string, answer http.HandlerFunc) (Download, error) {
	t.Helper()
	s := newTestServer(t)
	s.files["/v1/requests/a/files/report 1.csv"] = answer
	client := s.connect()
	handle, err := client.Attach("a")
	if err != nil {
		t.Fatal(err)
	}
	return handle.Download(patient(t), name, path)
}

func file(etag string, bytes []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("ETag", etag)
		_, _ = w.Write(bytes)
	}
}

func tag(bytes []byte) string {
	sum := sha256.Sum256(bytes)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func TestAFileIsDownloadedWithTheTokenAndChecked(t *testing.T) {
	folder, content := t.TempDir(), []byte("a,b\n1,2\n")
	got, err := downloads(t, folder, "report 1.csv", file(tag(content), content))
	if err != nil {
		t.Fatal(err)
	}
	want := Download{Path: filepath.Join(folder, "report 1.csv"), Size: 8, SHA256: tag(content)[1:65]}
	if text, err := os.ReadFile(got.Path); got != want || err != nil || string(text) != string(content) {
		t.Fatalf("got %+v, %q, %v", got, text, err)
	}
}

func TestAFileThatIsNotTheOneAnnouncedReplacesNothing(t *testing.T) {
	content := []byte("a,b\n1,2\n")
	for name, answer := range map[string]http.HandlerFunc{
		"other bytes": file(tag([]byte("other")), content),
		"no ETag":     file(`"v1"`, content),
		"cut short": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", tag(content))
			w.Header().Set("Content-Length", "8")
			_, _ = w.Write(content[:3])
		},
		"no document": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "kept.csv")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			var failed *DownloadError
			if _, err := downloads(t, path, "report 1.csv", answer); !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			left, err := os.ReadDir(folder)
			if text, _ := os.ReadFile(path); err != nil || len(left) != 1 || string(text) != "old" {
				t.Fatalf("left %v, %q", left, text)
			}
		})
	}
}

func TestARefusedDownloadIsATypedError(t *testing.T) {
	_, err := downloads(t, t.TempDir(), "report 1.csv", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"title":"Not Found","status":404,"code":"NOT_FOUND","retryable":false}`))
	})
	if !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestANameThatIsAPathIsRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "../a", `a\b`, "/a"} {
		_, err := downloads(t, t.TempDir(), name, nil)
		var bad *ConfigurationError
		if !errors.As(err, &bad) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
