#include "lib/rt/asio/thread_pool.h"

#include <pthread.h>
#include <signal.h>

namespace postern::rt {

bool ThreadPool::Post(std::function<void()> work) { return Add(&queue_, std::move(work)); }
bool ThreadPool::PostOutside(std::function<void()> work) { return Add(&outside_, std::move(work)); }

bool ThreadPool::Add(Queue* queue, std::function<void()> work) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (stopping_) return false;
  queue->emplace_back(next_ticket_++, std::move(work));
  const size_t ready =
      queue_.size() +
      std::min(outside_.size(), max_outside_ - std::min(max_outside_, outside_running_));
  if (idle_ < ready && threads_.size() < max_threads_) {
    // The threads are not for signals: those are the host's.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      threads_.emplace_back([this] { Serve(); });
    } catch (const std::system_error&) {
      // No thread to be had: those that run will come to it. With none at all there is nobody to do
      // the work.
      if (threads_.empty()) {
        queue->pop_back();
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
        throw;
      }
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  lock.unlock();
  wake_.notify_one();
  return true;
}

ThreadPool::Queue* ThreadPool::NextQueue() {
  const bool may_go_outside = !outside_.empty() && outside_running_ < max_outside_;
  if (queue_.empty()) return may_go_outside ? &outside_ : nullptr;
  return may_go_outside && outside_.front().first < queue_.front().first ? &outside_ : &queue_;
}

void ThreadPool::Serve() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return NextQueue() != nullptr || (stopping_ && outside_.empty()); });
    --idle_;
    Queue* const queue = NextQueue();
    if (queue == nullptr) return;
    const bool outside = queue == &outside_;
    if (outside) ++outside_running_;
    {
      std::function<void()> work = std::move(queue->front().second);
      queue->pop_front();
      lock.unlock();
      work();
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
