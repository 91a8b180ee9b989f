// Buffers with a bound. OutputBuffer is what a core has to say; InputBuffer is what a peer has said
// and nobody has read yet.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern {

// ByteQueue is a first-in first-out of octets that knows its bound. Its memory is given back when
// it runs empty, so that an idle session costs none.
class ByteQueue {
 public:
  explicit ByteQueue(size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // Append takes as much of `data` as the bound allows and returns how much that was.
  size_t Append(std::string_view data) {
    const size_t room = limit_bytes_ - size();
    const std::string_view taken = data.substr(0, room);
    if (!taken.empty()) {
      Compact();
      bytes_.append(taken);
    }
    return taken.size();
  }

  // View lends what is queued, until the next call that changes the queue.
  std::string_view View() const { return std::string_view(bytes_).substr(start_); }

  // Consume drops the first `n` octets.
  void Consume(size_t n) {
    start_ += n;
    if (start_ < bytes_.size()) return;
    Clear();
  }

  void Clear() {
    start_ = 0;
    if (bytes_.capacity() > kKeepBytes) {
      std::string().swap(bytes_);
    } else {
      bytes_.clear();
    }
  }

  size_t size() const { return bytes_.size() - start_; }
  bool empty() const { return size() == 0; }
  bool full() const { return size() >= limit_bytes_; }
  size_t limit_bytes() const { return limit_bytes_; }

 private:
  static constexpr size_t kKeepBytes = 256;

  void Compact() {
    if (start_ == 0) return;
    bytes_.erase(0, start_);
    start_ = 0;
  }

  size_t limit_bytes_;
  std::string bytes_;
  size_t start_ = 0;
};

}  // namespace postern
