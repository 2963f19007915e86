// SPDX-License-Identifier: Apache-2.0

package longcall

import (
	"container/list"
	"iter"
)

// signal tells who waits that something has changed: next gives a channel that fire closes.
type signal struct{ c chan struct{} }

func (s *signal) next() <-chan struct{} {
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *signal) fire() {
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}

// ordered is a map that remembers the order in which its keys came.
type ordered[T any] struct {
	items *list.List
	index map[string]*list.Element
}

type orderedItem[T any] struct {
	key   string
	value T
}

func newOrdered[T any]() *ordered[T] {
	return &ordered[T]{items: list.New(), index: map[string]*list.Element{}}
}

func (o *ordered[T]) len() int { return len(o.index) }

func (o *ordered[T]) has(key string) bool {
	_, ok := o.index[key]
	return ok
}

func (o *ordered[T]) get(key string) (value T, ok bool) {
	element, ok := o.index[key]
	if ok {
		value = element.Value.(orderedItem[T]).value
	}
	return value, ok
}

// set puts a value at the end, or in the place that its key has already.
func (o *ordered[T]) set(key string, value T) {
	item := orderedItem[T]{key, value}
	if element, ok := o.index[key]; ok {
		element.Value = item
		return
	}
	o.index[key] = o.items.PushBack(item)
}

// take removes a key and returns its value.
func (o *ordered[T]) take(key string) (value T, ok bool) {
	element, ok := o.index[key]
	if !ok {
		return value, false
	}
	delete(o.index, key)
	return o.items.Remove(element).(orderedItem[T]).value, true
}

// first returns the oldest value, and leaves it.
func (o *ordered[T]) first() (value T, ok bool) {
	front := o.items.Front()
	if front == nil {
		return value, false
	}
	return front.Value.(orderedItem[T]).value, true
}

// takeFirst removes and returns the oldest value.
func (o *ordered[T]) takeFirst() (value T, ok bool) {
	front := o.items.Front()
	if front == nil {
		return value, false
	}
	item := o.items.Remove(front).(orderedItem[T])
	delete(o.index, item.key)
	return item.value, true
}

// all yields the values from the oldest; the one that is yielded may be taken out meanwhile.
func (o *ordered[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for element := o.items.Front(); element != nil; {
			next := element.Next()
			item := element.Value.(orderedItem[T])
			if !yield(item.key, item.value) {
				return
			}
			element = next
		}
	}
}

func (o *ordered[T]) clear() {
	o.items.Init()
	clear(o.index)
}
