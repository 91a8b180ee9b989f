// Job: a function with its own place in a queue, so that to hand it over takes no memory and cannot
// fail. Whoever waits for something keeps the Job that will wake it.
#pragma once

#include <cstdint>

namespace postern::rt {

class Executor;

// Job is a base class: `run` and `done` get the Job and cast it to what it is part of. It stays
// where it is from the moment it is handed to an Executor until its last function is called (or
// `drop`), and is in one queue at a time; afterwards it may be handed over again, even by that
// function.
struct Job {
  // run is called once, on the loop (PostJob) or on the pool (PostBlocking, where nothing may be
  // thrown).
  void (*run)(Job* self) = nullptr;
  // done, unless null, is called on the loop of the Executor after `run` has returned, in a turn of
  // its own. Null: once `run` is called nobody but it touches the Job, which may then go.
  void (*done)(Job* self) = nullptr;
  // drop, unless null, is called in place of the others when the loop is destroyed with the Job in
  // its queue.
  void (*drop)(Job* self) = nullptr;

  // The rest is the queues'.
  Job* next = nullptr;
  Executor* home = nullptr;
  uint64_t ticket = 0;
};

// JobList is a queue of Jobs that it does not own, first in, first out. Not thread-safe.
class JobList {
 public:
  bool empty() const { return first_ == nullptr; }
  const Job* front() const { return first_; }
  const Job* back() const { return last_; }
  size_t size() const { return size_; }
  void Push(Job* job) noexcept {
    job->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = job;
    last_ = job;
    ++size_;
  }
  // Pop takes the first of a list that is not empty.
  Job* Pop() noexcept {
    Job* const job = first_;
    first_ = job->next;
    if (first_ == nullptr) last_ = nullptr;
    --size_;
    return job;
  }

 private:
  Job* first_ = nullptr;
  Job* last_ = nullptr;
  size_t size_ = 0;
};

}  // namespace postern::rt
