#include "lib/core/trust/message_scan.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::trust {

MessageScan::MessageScan(std::vector<Reader*> readers, const MessageScanOptions& options)
    : readers_(std::move(readers)), options_(options) {}

void MessageScan::Feed(std::string_view octets) {
  if (!options_.bare_lf_is_line_end) return FeedExact(octets);
  while (!octets.empty()) {
    const size_t lf = octets.find('\n');
    if (lf == std::string_view::npos) {
      last_was_cr_ = octets.back() == '\r';
      return FeedExact(octets);
    }
    const bool has_cr = lf > 0 ? octets[lf - 1] == '\r' : last_was_cr_;
    if (has_cr) {
      FeedExact(octets.substr(0, lf + 1));
    } else {
      FeedExact(octets.substr(0, lf));
      FeedExact("\r\n");
    }
    last_was_cr_ = false;
    octets.remove_prefix(lf + 1);
  }
}

void MessageScan::FeedExact(std::string_view octets) {
  if (state_ == State::kUnreadable || octets.empty()) return;
  if (state_ == State::kBody) return body_.Feed(octets);
  // The empty line that ends the header may lie across two pieces; three octets of the earlier one
  // are enough to see it.
  const size_t before = text_.size();
  const size_t room = options_.limits.max_header_bytes + 4 - before;
  // No more of the body is copied than can be helped.
  const size_t here = octets.find("\r\n\r\n");
  const bool whole = here < room;
  text_.append(octets.substr(0, whole ? here + 4 : room));
  size_t end = 0;
  if (text_.size() >= 2 && text_[0] == '\r' && text_[1] == '\n') {
    EndHeader(0);
  } else if (before != 0 &&
             (end = std::string_view(text_)
                        .substr(0, before + 3)
                        .find("\r\n\r\n", before < 3 ? 0 : before - 3)) != std::string::npos) {
    end += 2;
    EndHeader(end);
  } else if (whole) {
    end = before + here + 2;
    EndHeader(end);
  } else if (text_.size() > options_.limits.max_header_bytes + 3) {
    return GiveUp("header_too_large", StrCat("the header is longer than ",
                                             options_.limits.max_header_bytes, " octets"));
  } else {
    return;
  }
  // What follows the empty line is the body.
  if (state_ == State::kBody) body_.Feed(octets.substr(end + 2 - before));
}

void MessageScan::EndHeader(size_t header_bytes) {
  text_.resize(header_bytes);
  header_.emplace(std::move(text_), options_.limits.max_fields);
  if (header_->truncated()) {
    return GiveUp("too_many_fields",
                  StrCat("the header has more than ", options_.limits.max_fields, " fields"));
  }
  state_ = State::kBody;
  for (Reader* reader : readers_) reader->OnHeader(*header_, body_);
}

void MessageScan::GiveUp(const char* reason, std::string why) {
  state_ = State::kUnreadable;
  text_ = {};
  for (Reader* reader : readers_) reader->OnUnreadable(reason, why);
}

void MessageScan::Finish() {
  if (state_ == State::kHeader) EndHeader(text_.size());  // RFC 5322 §3.5: a body need not be there
  if (state_ == State::kBody) body_.Finish();
}

}  // namespace postern::trust
