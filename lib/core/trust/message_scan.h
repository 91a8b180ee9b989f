// MessageScan: one pass over a message for all who sign or verify it. It cuts the header from the
// body, keeps the header (bounded), shows it to its readers, hashes the body as they ask, and keeps
// nothing of it.
//
//   DkimVerifier dkim(options);  ArcVerifier arc(options);
//   MessageScan scan({&dkim, &arc});
//   scan.Feed(…); scan.Feed(…); scan.Finish();
//   … = co_await dkim.Check(now);
//
// Another kind of signature over header and body is another Reader beside these; its results are
// its own.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/trust/dkim_canonical.h"
#include "lib/core/trust/header_fields.h"

namespace postern::trust {

struct MessageScanLimits {
  size_t max_header_bytes = 1 << 20;  // ours: no header met in practice comes near
  size_t max_fields = 10'000;         // ours
};

struct MessageScanOptions {
  MessageScanLimits limits;
  // Takes a bare LF for a line end and makes it CRLF, for files of systems that store mail so. Off:
  // octets as they are, which is right for what came by SMTP.
  bool bare_lf_is_line_end = false;
};

class MessageScan {
 public:
  class Reader {
   public:
    virtual ~Reader() = default;
    // OnHeader is called once, when the header is complete; the reader asks `body` for what it will
    // want. `header` and `body` live as long as the scan.
    virtual void OnHeader(const HeaderFields& header, BodyHasher& body) = 0;
    // OnUnreadable is called instead when the header is over a limit; `why` is a sentence for
    // people without a full stop.
    virtual void OnUnreadable(const char* reason, std::string why) = 0;
  };

  explicit MessageScan(std::vector<Reader*> readers, const MessageScanOptions& options = {});

  // Feed takes the next octets of the message, in pieces of any size. They are not kept, apart from
  // the header.
  void Feed(std::string_view octets);
  // Finish ends the message. Once.
  void Finish();

 private:
  void FeedExact(std::string_view octets);
  void EndHeader(size_t header_bytes);
  void GiveUp(const char* reason, std::string why);

  enum class State : uint8_t { kHeader, kBody, kUnreadable };

  std::vector<Reader*> readers_;
  MessageScanOptions options_;
  State state_ = State::kHeader;
  bool last_was_cr_ = false;  // for bare_lf_is_line_end
  std::string text_;          // the header so far
  std::optional<HeaderFields> header_;
  BodyHasher body_;
};

}  // namespace postern::trust
