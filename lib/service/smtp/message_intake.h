// MessageIntake looks at the header of a message on its way in: puts our Received field in front,
// completes what a mail client left out, removes Bcc (and Return-Path from what a mail client
// sends), counts hops. The body passes through untouched. Pure.
#pragma once

#include <string>
#include <string_view>

namespace postern::service {

struct MessageIntakeOptions {
  std::string received;  // the Received field and what stands above it, each ended by CRLF
  // complete is for what begins its way here: Date and Message-ID are added when missing (RFC 6409
  // §8.2, §8.3), bare names get a domain (§8.1), and a Return-Path is removed (RFC 5321 §4.4: a
  // system that originates a message sends none). What is only passed on keeps what it has: the
  // same section forbids a relay to look.
  bool complete = false;
  std::string date;        // the value for a missing Date
  std::string message_id;  // the value for a missing Message-ID
  // domain is what bare names in From, To and Cc get with `complete` (qualify.h); empty: they stay.
  std::string domain;
  // masquerade: the address that From shows whatever the client wrote; a second From is dropped.
  // Empty: From stays.
  std::string masquerade;
  size_t max_header_bytes = 1 << 20;
  int max_received_fields = 100;
};

class MessageIntake {
 public:
  enum class Problem { kNone, kHeaderTooBig, kLoop };

  explicit MessageIntake(MessageIntakeOptions options) : options_(std::move(options)) {}

  // Push takes a piece of the message and returns what is to be stored now. The view lives until
  // the next call, and no longer than `piece`.
  std::string_view Push(std::string_view piece);
  // Finish returns what is left to store once the message is over (a message of header alone). The
  // view lives until the next call.
  std::string_view Finish();

  // problem says why the message cannot be taken: a header over max_header_bytes, or
  // max_received_fields passed (a loop, RFC 5321 §6.3). The rest of it may then be dropped.
  Problem problem() const { return problem_; }

 private:
  void WriteHeader(std::string_view header);

  MessageIntakeOptions options_;
  std::string header_;  // what has come of the header
  size_t scanned_ = 0;  // of header_: no empty line ends before this
  std::string out_;
  bool in_body_ = false;
  Problem problem_ = Problem::kNone;
};

}  // namespace postern::service
