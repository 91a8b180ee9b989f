// Timer: a deadline that its owner keeps, so that to set one takes no memory and cannot fail.
#pragma once

#include <cstdint>

#include "lib/core/base/time.h"

namespace postern::rt {

// Timer is a base class: `run` gets the Timer and casts it to what it is part of. It belongs to one
// loop, and stays where it is while it is armed.
struct Timer {
  // run is called on the loop once the time has come; the Timer is no longer armed then and may be
  // armed again.
  void (*run)(Timer* self) = nullptr;
  bool armed() const { return armed_; }

 private:
  friend class TimerHeap;
  friend class Executor;
  Instant at_;
  uint64_t number_ = 0;  // orders those of one instant; in the simulation, the event
  bool armed_ = false;
  Timer* child_ = nullptr;   // the first
  Timer* next_ = nullptr;    // sibling
  Timer* before_ = nullptr;  // sibling, or of a first child the parent
};

// TimerHeap is a pairing heap of Timers that it does not own, by time and then by the order of
// insertion: a deadline that is taken back before it comes, as nearly all are, costs a few links.
// Not thread-safe.
class TimerHeap {
 public:
  bool empty() const { return root_ == nullptr; }
  // next is when the first is due; Never when there is none.
  Instant next() const { return root_ == nullptr ? Instant::Never() : root_->at_; }

  // Insert adds a timer that is not armed.
  void Insert(Timer* timer, Instant at) noexcept {
    timer->at_ = at;
    timer->number_ = ++last_number_;
    timer->armed_ = true;
    timer->child_ = timer->next_ = timer->before_ = nullptr;
    root_ = root_ == nullptr ? timer : Merge(root_, timer);
  }

  // Remove takes an armed timer out.
  void Remove(Timer* timer) noexcept {
    Timer* const below = MergeAll(timer->child_);
    if (timer == root_) {
      root_ = below;
    } else {
      (timer->before_->child_ == timer ? timer->before_->child_ : timer->before_->next_) =
          timer->next_;
      if (timer->next_ != nullptr) timer->next_->before_ = timer->before_;
      if (below != nullptr) root_ = Merge(root_, below);
    }
    timer->child_ = timer->next_ = timer->before_ = nullptr;
    timer->armed_ = false;
  }

  // TakeDue takes out and returns the first timer if its time has come by `now`, else null.
  Timer* TakeDue(Instant now) noexcept {
    if (root_ == nullptr || root_->at_ > now) return nullptr;
    Timer* const due = root_;
    Remove(due);
    return due;
  }

 private:
  static bool Earlier(const Timer* a, const Timer* b) {
    return a->at_ != b->at_ ? a->at_ < b->at_ : a->number_ < b->number_;
  }
  // Merge makes the later of two roots, which have no siblings, the first child of the other.
  static Timer* Merge(Timer* a, Timer* b) noexcept {
    if (Earlier(b, a)) {
      Timer* const first = b;
      b = a;
      a = first;
    }
    b->next_ = a->child_;
    if (a->child_ != nullptr) a->child_->before_ = b;
    b->before_ = a;
    a->child_ = b;
    return a;
  }
  // MergeAll makes one heap of siblings: in pairs, and the pairs from the last to the first, which
  // is what keeps the heap shallow.
  static Timer* MergeAll(Timer* first) noexcept {
    Timer* pairs = nullptr;
    while (first != nullptr) {
      Timer* one = first;
      Timer* const other = one->next_;
      first = other == nullptr ? nullptr : other->next_;
      one->next_ = one->before_ = nullptr;
      if (other != nullptr) {
        other->next_ = other->before_ = nullptr;
        one = Merge(one, other);
      }
      one->next_ = pairs;
      pairs = one;
    }
    Timer* root = nullptr;
    while (pairs != nullptr) {
      Timer* const rest = pairs->next_;
      pairs->next_ = nullptr;
      root = root == nullptr ? pairs : Merge(root, pairs);
      pairs = rest;
    }
    return root;
  }

  Timer* root_ = nullptr;
  uint64_t last_number_ = 0;
};

}  // namespace postern::rt
