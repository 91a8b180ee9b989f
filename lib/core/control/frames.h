// The protocol of the control socket: both ends of a stream send frames.
//
//   frame   = length (4 octets, big-endian) kind (1 octet) payload (length octets)
//   request = version (1 octet) flags (1 octet) count (2 octets) *( size (2 octets) word )
//
// The client sends one request, then (for `submit` alone) input frames and an end of input. The
// server answers with frames of output and of errors, and ends with one that holds the exit
// status; then it closes. A client that closes early ends what it asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"

namespace postern::control {

inline constexpr uint8_t kProtocolVersion = 1;

// Bounds, for both ends.
inline constexpr size_t kMaxPayloadBytes = 512 * 1024;  // of one frame; a request is one
inline constexpr size_t kMaxWords = 2048;               // of a request: `submit` names recipients
inline constexpr size_t kMaxWordBytes = 2048;
inline constexpr size_t kOutputPieceBytes = 32 * 1024;  // long output and input are cut to this

enum class FrameKind : uint8_t {
  kRequest = 1,
  kInput = 2,
  kInputEnd = 3,
  kOutput = 4,  // for standard output; empty: a sign of life
  kError = 5,   // for standard error
  kEnd = 6,     // one octet: the exit status
};

struct Frame {
  FrameKind kind = FrameKind::kOutput;
  std::string_view payload;  // dies with the next call of the reader
};

// EncodeFrame writes one frame; `payload` is at most kMaxPayloadBytes.
std::string EncodeFrame(FrameKind kind, std::string_view payload);

// FrameReader takes a stream apart. It holds one frame and what came behind it.
class FrameReader {
 public:
  void Feed(std::string_view octets) { buffer_.append(octets); }
  // Next gives the next whole frame; nullopt: more is needed. kInvalidArgument for a frame that is
  // too long or of no known kind: nothing that follows can be read.
  StatusOr<std::optional<Frame>> Next();

 private:
  std::string buffer_;
  size_t at_ = 0;
};

struct Request {
  std::vector<std::string> words;
  bool json = false;
  bool operator==(const Request&) const = default;
};

// EncodeRequest writes a request's payload; kInvalidArgument when it goes beyond a bound.
StatusOr<std::string> EncodeRequest(const Request& request);
// DecodeRequest reads it; kInvalidArgument for what is none, kFailedPrecondition for another
// version.
StatusOr<Request> DecodeRequest(std::string_view payload);

}  // namespace postern::control
