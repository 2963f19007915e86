// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// maxProblem bounds what is read of an answer that is no file.
const maxProblem = 64 << 10

// Download downloads a file of the finished request over HTTP, and checks it (PROTOCOL 8.6). It is written
// beside path and put in its place only when it is whole and its SHA-256 is the one that the server
// announced. Where path is a folder, the file is put there under its own name.
//
// The error is an *Error when the server refused, such as ErrNotFound; a *DownloadError when the file did not
// arrive whole; a *ConfigurationError when name is no name of a file; or that of the file system.
//
// It is safe for concurrent use.
func (h *RequestHandle) Download(ctx context.Context, name, path string) (Download, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return Download{}, &ConfigurationError{fmt.Sprintf("not the name of a file: %q", name)}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, name)
	}
	response, err := h.get(ctx, name)
	if err != nil {
		return Download{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return Download{}, h.refusal(response)
	}
	expected, err := sha256Of(response.Header.Get("ETag"))
	if err != nil {
		return Download{}, err
	}
	return save(response.Body, path, expected)
}

// get asks for the file with a fresh token.
func (h *RequestHandle) get(ctx context.Context, name string) (*http.Response, error) {
	c := h.connection
	token, err := c.fetchToken(ctx, TokenForConnect)
	if err != nil {
		return nil, &DownloadError{Reason: "it was not asked for", Err: err}
	}
	address := httpBase(c.address).JoinPath("v1", "requests", url.PathEscape(h.id), "files", url.PathEscape(name))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, &ConfigurationError{"the address of the file cannot be used"}
	}
	request.Header = c.config.header.Clone()
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.config.httpClient.Do(request)
	if err != nil {
		var withAddress *url.Error
		if errors.As(err, &withAddress) {
			err = withAddress.Err
		}
		return nil, &DownloadError{Reason: "the server was not reached", Err: err}
	}
	return response, nil
}

// refusal returns the error of an RFC 9457 problem document (PROTOCOL 8.1.4).
func (h *RequestHandle) refusal(response *http.Response) error {
	var problem struct {
		Code         ErrorCode       `json:"code"`
		Title        string          `json:"title"`
		Detail       string          `json:"detail"`
		Retryable    bool            `json:"retryable"`
		RetryAfterMs int64           `json:"retry_after_ms"`
		Details      json.RawMessage `json:"details"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil || json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		return &DownloadError{Reason: "the server answered HTTP " + response.Status}
	}
	text := problem.Detail
	if text == "" {
		text = problem.Title
	}
	return &Error{
		Code:       problem.Code,
		Message:    text,
		Retryable:  problem.Retryable,
		RetryAfter: millis(max(0, problem.RetryAfterMs)),
		Details:    problem.Details,
		RequestID:  h.id,
		Origin:     OriginServer,
	}
}

var sha256Tag = regexp.MustCompile(`^(?:w/)?"([0-9a-f]{64})"$`)

func sha256Of(etag string) (string, error) {
	match := sha256Tag.FindStringSubmatch(strings.ToLower(etag))
	if match == nil {
		return "", &DownloadError{Reason: "the server announces no SHA-256 to check the file by"}
	}
	return match[1], nil
}

// save writes a body beside path, checks it, and puts it in its place.
func save(body io.Reader, path, expected string) (_ Download, err error) {
	name := "." + filepath.Base(path) + "." + newRequestID() + ".part"
	part, err := os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return Download{}, err
	}
	defer func() {
		if err != nil {
			_ = part.Close()
			_ = os.Remove(part.Name())
		}
	}()
	digest := sha256.New()
	source := &countedReader{reader: body}
	if _, err := io.Copy(io.MultiWriter(part, digest), source); err != nil {
		if source.err != nil {
			return Download{}, &DownloadError{Reason: "it broke off", Err: source.err}
		}
		return Download{}, err
	}
	if got := hex.EncodeToString(digest.Sum(nil)); got != expected {
		return Download{}, &DownloadError{Reason: fmt.Sprintf(
			"what arrived is not what was announced: %d bytes with SHA-256 %s, not %s", source.size, got, expected)}
	}
	if err := errors.Join(part.Sync(), part.Close()); err != nil {
		return Download{}, err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return Download{}, err
	}
	return Download{Path: path, Size: source.size, SHA256: expected}, nil
}

// countedReader tells a failure of the network from one of the disk.
type countedReader struct {
	reader io.Reader
	size   int64
	err    error
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.reader.Read(p)
	r.size += int64(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
