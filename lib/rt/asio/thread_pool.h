// ThreadPool runs work that blocks. Threads are made when there is work for them, up to the limit,
// so that an idle server has none to carry.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace postern::rt {

class ThreadPool {
 public:
  explicit ThreadPool(size_t max_threads) : max_threads_(max_threads) {}
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { Stop(); }

  // Post queues `work`; false after Stop. Any thread.
  bool Post(std::function<void()> work);

  // Stop lets queued work finish and joins the threads. Idempotent.
  void Stop();

  size_t max_threads() const { return max_threads_; }

 private:
  void Serve();

  const size_t max_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
  size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace postern::rt
