#include "lib/rt/asio/thread_pool.h"

#include <pthread.h>
#include <signal.h>

#include "lib/rt/executor.h"

namespace postern::rt {

bool ThreadPool::Post(Job* job) noexcept { return Add(&queue_, job); }
bool ThreadPool::PostOutside(Job* job) noexcept { return Add(&outside_, job); }

bool ThreadPool::Add(JobList* queue, Job* job) noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return false;
    const size_t may_go_outside = std::min(outside_.size() + (queue == &outside_ ? 1 : 0),
                                           max_outside_ - std::min(max_outside_, outside_running_));
    const size_t ready = queue_.size() + (queue == &queue_ ? 1 : 0) + may_go_outside;
    // No thread to be had: those that run will come to it. With none at all there is nobody to do
    // the work.
    if (idle_ < ready && threads_.size() < max_threads_ && !StartThread() && threads_.empty())
      return false;
    job->ticket = next_ticket_++;
    queue->Push(job);
  }
  wake_.notify_one();
  return true;
}

bool ThreadPool::StartThread() noexcept {
  // The threads are not for signals: those are the host's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    threads_.emplace_back([this] { Serve(); });
  } catch (const std::exception&) {  // std::system_error, std::bad_alloc
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

JobList* ThreadPool::NextQueue() {
  const bool may_go_outside = !outside_.empty() && outside_running_ < max_outside_;
  if (queue_.empty()) return may_go_outside ? &outside_ : nullptr;
  return may_go_outside && outside_.front()->ticket < queue_.front()->ticket ? &outside_ : &queue_;
}

void ThreadPool::Serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return NextQueue() != nullptr || (stopping_ && outside_.empty()); });
    --idle_;
    JobList* const queue = NextQueue();
    if (queue == nullptr) return;
    const bool outside = queue == &outside_;
    if (outside) ++outside_running_;
    Job* const job = queue->Pop();
    lock.unlock();
    const auto done = job->done;
    job->run(job);
    if (done != nullptr) {  // else it may be gone
      job->run = done;
      job->done = nullptr;
      job->home->PostJob(job);
    }
    lock.lock();
    if (!outside) continue;
    --outside_running_;
    // A thread may sleep because no more could go outside; it may also wait for the end.
    if (!outside_.empty() || stopping_) wake_.notify_all();
  }
}

void ThreadPool::Stop() {
  std::vector<std::thread> threads;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace postern::rt
