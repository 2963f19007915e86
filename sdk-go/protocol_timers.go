// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"cmp"
	"slices"
	"time"
)

// timerName names a point in time: a kind, and the link or the request that it is about.
type timerName struct {
	kind string
	link int
	id   string
}

// The timers that there is one of.
var (
	openTimer    = timerName{kind: "open"}
	refreshTimer = timerName{kind: "refresh"}
	bucketTimer  = timerName{kind: "bucket"}
	pollTimer    = timerName{kind: "poll"}
)

func welcomeTimer(link int) timerName   { return timerName{kind: "welcome", link: link} }
func heartbeatTimer(link int) timerName { return timerName{kind: "heartbeat", link: link} }
func resendTimer(id string) timerName   { return timerName{kind: "resend", id: id} }
func attachTimer(id string) timerName   { return timerName{kind: "attach", id: id} }
func cancelTimer(id string) timerName   { return timerName{kind: "cancel", id: id} }

// timers are a few named points in time; setting one again moves it. Time itself is an argument.
type timers map[timerName]time.Duration

func (t timers) set(name timerName, when time.Duration) { t[name] = when }
func (t timers) cancel(name timerName)                  { delete(t, name) }

func (t timers) has(name timerName) bool {
	_, ok := t[name]
	return ok
}

// next returns when the first one is due; false if there is none.
func (t timers) next() (due time.Duration, ok bool) {
	for _, when := range t {
		if !ok || when < due {
			due, ok = when, true
		}
	}
	return due, ok
}

// due returns those that are due, the earliest first. One that fires may cancel or move another: take
// says whether it is still due.
func (t timers) due(now time.Duration) []timerName {
	var names []timerName
	for name, when := range t {
		if when <= now {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b timerName) int {
		return cmp.Or(cmp.Compare(t[a], t[b]), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.link, b.link), cmp.Compare(a.id, b.id))
	})
	return names
}

// take removes a timer if it is still due.
func (t timers) take(name timerName, now time.Duration) bool {
	when, ok := t[name]
	if !ok || when > now {
		return false
	}
	delete(t, name)
	return true
}
