// ThreadPool runs work that blocks. Threads are made when there is work for them, up to the limit,
// so that an idle server has none to carry.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace postern::rt {

class ThreadPool {
 public:
  explicit ThreadPool(size_t max_threads)
      : max_threads_(max_threads), max_outside_(std::max<size_t>(max_threads / 2, 1)) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { Stop(); }

  // Post queues `work`; false after Stop. Any thread.
  bool Post(std::function<void()> work);
  // PostOutside queues work that may wait for somebody else (a program). At most half of the
  // threads (one, when there is but one) do such work at a time, so that one who does not answer
  // holds up those who ask him, not the disk.
  bool PostOutside(std::function<void()> work);

  // Stop lets queued work finish and joins the threads. Idempotent.
  void Stop();

  size_t max_threads() const { return max_threads_; }

 private:
  using Queue = std::deque<std::pair<uint64_t, std::function<void()>>>;
  bool Add(Queue* queue, std::function<void()> work);
  void Serve();
  // NextQueue is the queue whose turn it is, or null when no thread may take more.
  Queue* NextQueue();

  const size_t max_threads_;
  const size_t max_outside_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Queue queue_;
  Queue outside_;
  uint64_t next_ticket_ = 0;  // the order of what was posted, over both queues
  size_t outside_running_ = 0;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace postern::rt
