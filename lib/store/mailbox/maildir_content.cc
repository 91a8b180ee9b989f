// The content of a message: a file with LF (or CRLF) line ends, served with CRLF.

#include <algorithm>
#include <cstring>
#include <vector>

#include "lib/store/mailbox/crlf.h"
#include "lib/store/mailbox/maildir_account.h"

namespace postern::mailbox {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

// MaildirContent reads forward and converts; a mark at every chunk lets it jump back.
class MaildirContent final : public MessageContent {
 public:
  MaildirContent(std::unique_ptr<rt::File> file, uint64_t file_bytes, uint64_t crlf_bytes)
      : file_(std::move(file)), file_bytes_(file_bytes), crlf_bytes_(crlf_bytes), marks_{Mark{}} {}

  uint64_t size_bytes() const override { return crlf_bytes_; }

  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) override {
    size_t done = 0;
    while (done < into.size() && offset + done < crlf_bytes_) {
      const uint64_t at = offset + done;
      if (at < window_start_ || at >= window_start_ + window_.size()) {
        POSTERN_RETURN_IF_ERROR(LoadWindow(at));
        if (at < window_start_ || at >= window_start_ + window_.size())
          break;  // the file has become shorter
      }
      const size_t skip = static_cast<size_t>(at - window_start_);
      const size_t n = std::min(into.size() - done, window_.size() - skip);
      std::memcpy(into.data() + done, window_.data() + skip, n);
      done += n;
    }
    return done;
  }

  StatusOr<std::string_view> All(uint64_t limit_bytes) override {
    if (crlf_bytes_ > limit_bytes) return ResourceExhausted("the message is too large");
    if (!loaded_) {
      whole_.resize(crlf_bytes_);
      const StatusOr<size_t> got = ReadAt(0, std::span<char>(whole_.data(), whole_.size()));
      if (!got.ok()) return got.status();
      whole_.resize(*got);
      loaded_ = true;
    }
    return std::string_view(whole_);
  }

 private:
  struct Mark {
    uint64_t crlf_offset = 0;
    uint64_t file_offset = 0;
    bool after_cr = false;
  };

  // LoadWindow converts the chunk that holds `offset`, going forward from the nearest mark.
  Status LoadWindow(uint64_t offset) {
    auto mark =
        std::upper_bound(marks_.begin(), marks_.end(), offset,
                         [](uint64_t value, const Mark& m) { return value < m.crlf_offset; });
    --mark;
    std::string raw;
    for (size_t at = static_cast<size_t>(mark - marks_.begin());; ++at) {
      const Mark from = marks_[at];
      raw.resize(
          static_cast<size_t>(std::min<uint64_t>(kChunkBytes, file_bytes_ - from.file_offset)));
      const StatusOr<size_t> got =
          file_->ReadAt(from.file_offset, std::span<char>(raw.data(), raw.size()));
      if (!got.ok()) return got.status();
      CrlfEncoder encoder;
      encoder.set_after_cr(from.after_cr);
      window_.clear();
      encoder.Append(std::string_view(raw).substr(0, *got), window_);
      window_start_ = from.crlf_offset;
      if (*got == 0 || from.crlf_offset + window_.size() > offset) return OkStatus();
      if (at + 1 == marks_.size()) {
        marks_.push_back(
            {from.crlf_offset + window_.size(), from.file_offset + *got, encoder.after_cr()});
      }
    }
  }

  std::unique_ptr<rt::File> file_;
  const uint64_t file_bytes_;
  const uint64_t crlf_bytes_;
  std::vector<Mark> marks_;
  std::string window_;
  uint64_t window_start_ = 0;
  std::string whole_;
  bool loaded_ = false;
};

}  // namespace

std::unique_ptr<MessageContent> MakeMaildirContent(std::unique_ptr<rt::File> file,
                                                   uint64_t file_bytes, uint64_t crlf_bytes) {
  return std::make_unique<MaildirContent>(std::move(file), file_bytes, crlf_bytes);
}

StatusOr<uint64_t> CountCrlf(rt::File& file) {
  std::string chunk(kChunkBytes, '\0');
  CrlfEncoder encoder;
  uint64_t count = 0;
  uint64_t offset = 0;
  while (true) {
    const StatusOr<size_t> got = file.ReadAt(offset, std::span<char>(chunk.data(), chunk.size()));
    if (!got.ok()) return got.status();
    count += encoder.Count(std::string_view(chunk).substr(0, *got));
    offset += *got;
    if (*got < chunk.size()) return count;
  }
}

}  // namespace postern::mailbox
