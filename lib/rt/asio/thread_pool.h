// ThreadPool runs work that blocks. Threads are made when there is work for them, up to the limit,
// so that an idle server has none to carry.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "lib/rt/job.h"

namespace postern::rt {

class ThreadPool {
 public:
  explicit ThreadPool(size_t max_threads)
      : max_threads_(max_threads), max_outside_(std::max<size_t>(max_threads / 2, 1)) {
    threads_.reserve(max_threads);
  }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { Stop(); }

  // Post queues `job`, whose `done`, if it has one, is posted to `job->home` afterwards. False, and
  // the job is still the caller's, after Stop and when the system has no thread to give. Any
  // thread.
  bool Post(Job* job) noexcept;
  // PostOutside queues work that may wait for somebody else (a program). At most half of the
  // threads (one, when there is but one) do such work at a time, so that one who does not answer
  // holds up those who ask him, not the disk.
  bool PostOutside(Job* job) noexcept;

  // Stop lets queued work finish and joins the threads. Idempotent.
  void Stop();

  size_t max_threads() const { return max_threads_; }

 private:
  bool Add(JobList* queue, Job* job) noexcept;
  // StartThread has one thread more; false when there is none to be had.
  bool StartThread() noexcept;
  void Serve();
  // NextQueue is the queue whose turn it is, or null when no thread may take more.
  JobList* NextQueue();

  const size_t max_threads_;
  const size_t max_outside_;
  std::mutex mutex_;
  std::condition_variable wake_;
  JobList queue_;
  JobList outside_;
  uint64_t next_ticket_ = 0;  // the order of what was posted, over both queues
  size_t outside_running_ = 0;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace postern::rt
