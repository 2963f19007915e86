// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"time"

	"github.com/longcall/longcall/sdk-go/internal/wire"
)

// Messages -> what the application sees. A time that does not exist is an error (PROTOCOL 4.3.14).

func toStatus(m *wire.StatusMessage) (Status, error) {
	status := Status{
		Seq:          m.Seq,
		Status:       RequestStatus(m.Status),
		Attempt:      m.Attempt,
		ChunksKeptTo: m.ChunksKeptTo,
	}
	if m.Error != nil {
		status.Err = toError(*m.Error, m.RequestID, m.Attempt)
	}
	var err error
	status.RetryAt, err = optionalTime(m.RetryAt)
	return status, err
}

func toProgress(p wire.ProgressState) (Progress, error) {
	updatedAt, err := parseTimestamp(p.UpdatedAt)
	return Progress{
		Attempt:    p.Attempt,
		Version:    p.Version,
		Percentage: p.Percentage,
		Message:    optional(p.Message),
		Details:    p.Details,
		UpdatedAt:  updatedAt,
	}, err
}

func toSnapshot(m *wire.SnapshotMessage) (Snapshot, error) {
	summary, err := toSummary(m.Request)
	snapshot := Snapshot{Request: summary, Result: m.Result}
	if m.Error != nil {
		snapshot.Err = toError(*m.Error, m.RequestID, summary.Attempt)
	}
	return snapshot, err
}

func toSummary(r wire.RequestSummary) (RequestSummary, error) {
	summary := RequestSummary{
		ID:              r.ID,
		Action:          r.Action,
		Status:          RequestStatus(r.Status),
		Attempt:         r.Attempt,
		LastSeq:         r.LastSeq,
		CancelRequested: optional(r.CancelRequested),
		RequeuedFrom:    optional(r.RequeuedFrom),
	}
	var err error
	if summary.CreatedAt, err = parseTimestamp(r.CreatedAt); err != nil {
		return summary, err
	}
	if summary.UpdatedAt, err = parseTimestamp(r.UpdatedAt); err != nil {
		return summary, err
	}
	if summary.ExpiresAt, err = optionalTime(r.ExpiresAt); err != nil {
		return summary, err
	}
	if r.Progress != nil {
		progress, err := toProgress(*r.Progress)
		if err != nil {
			return summary, err
		}
		summary.Progress = &progress
	}
	return summary, nil
}

func toPage(m *wire.ListingMessage) (page, error) {
	out := page{requests: make([]RequestSummary, 0, len(m.Requests)), next: m.NextCursor}
	for _, request := range m.Requests {
		summary, err := toSummary(request)
		if err != nil {
			return page{}, err
		}
		out.requests = append(out.requests, summary)
	}
	return out, nil
}

func toError(info wire.ErrorInfo, requestID string, attempt int64) *Error {
	err := &Error{
		Code:      ErrorCode(info.Code),
		Message:   info.Message,
		Retryable: info.Retryable,
		Details:   info.Details,
		RequestID: requestID,
		Attempt:   attempt,
		Origin:    OriginServer,
	}
	if info.RetryAfterMs != nil {
		err.RetryAfter = millis(*info.RetryAfterMs)
	}
	return err
}

func optional[T any](value *T) T {
	if value == nil {
		var none T
		return none
	}
	return *value
}

func optionalTime(text *string) (time.Time, error) {
	if text == nil {
		return time.Time{}, nil
	}
	return parseTimestamp(*text)
}
