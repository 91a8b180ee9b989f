// Room at the end of a string for decoders that write through a pointer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

namespace postern::mail {

// GrowingOutput lends room behind what a string holds and grows it in steps, so that a large result
// is not cleared as a whole before it is written. Between construction and Finish the string
// belongs to it.
class GrowingOutput {
 public:
  // `most` is how many octets will be written at most; kSlack more may be scribbled on behind them.
  static constexpr size_t kSlack = 128;

  GrowingOutput(std::string& out, size_t most) : out_(out), begin_(out.size()) {
    out_.reserve(begin_ + most + kSlack);
    limit_ = begin_ + most + kSlack;
    Grow(begin_);
  }

  char* begin() { return out_.data() + begin_; }
  // Ensure makes sure that kSlack octets or more may be written at `to` and tells how many. The
  // address of the octets does not change.
  size_t Ensure(const char* to) {
    if (room_end_ - to < static_cast<ptrdiff_t>(kSlack))
      Grow(static_cast<size_t>(to - out_.data()));
    return static_cast<size_t>(room_end_ - to);
  }
  // Finish gives the string back, ended at `to`.
  void Finish(const char* to) { out_.resize(static_cast<size_t>(to - out_.data())); }

 private:
  static constexpr size_t kStep = 16 * 1024;

  void Grow(size_t used) {
    out_.resize(std::min(limit_, std::max(out_.size(), used + kStep)));
    room_end_ = out_.data() + out_.size();
  }

  std::string& out_;
  size_t begin_;
  size_t limit_ = 0;
  const char* room_end_ = nullptr;
};

}  // namespace postern::mail
