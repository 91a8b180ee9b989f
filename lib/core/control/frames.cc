#include "lib/core/control/frames.h"

#include <utility>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"

namespace postern::control {
namespace {

constexpr size_t kHeadBytes = 5;
constexpr uint8_t kFlagJson = 1;

uint32_t Big(std::string_view octets) {
  uint32_t value = 0;
  for (const char c : octets) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

void AppendBig(std::string* out, size_t value, int octets) {
  for (int shift = (octets - 1) * 8; shift >= 0; shift -= 8)
    out->push_back(static_cast<char>(value >> shift & 0xff));
}

}  // namespace

std::string EncodeFrame(FrameKind kind, std::string_view payload) {
  POSTERN_CHECK(payload.size() <= kMaxPayloadBytes);
  std::string frame;
  frame.reserve(kHeadBytes + payload.size());
  AppendBig(&frame, payload.size(), 4);
  frame.push_back(static_cast<char>(kind));
  frame.append(payload);
  return frame;
}

StatusOr<std::optional<Frame>> FrameReader::Next() {
  // The frame before is done with.
  if (at_ > 0) buffer_.erase(0, std::exchange(at_, 0));
  if (buffer_.size() < kHeadBytes) return std::optional<Frame>();
  const std::string_view head(buffer_.data(), kHeadBytes);
  const size_t length = Big(head.substr(0, 4));
  const auto kind = static_cast<uint8_t>(head[4]);
  if (length > kMaxPayloadBytes) return InvalidArgument(StrCat("a frame of ", length, " octets"));
  if (kind < static_cast<uint8_t>(FrameKind::kRequest) ||
      kind > static_cast<uint8_t>(FrameKind::kEnd))
    return InvalidArgument(StrCat("a frame of kind ", kind));
  if (buffer_.size() - kHeadBytes < length) return std::optional<Frame>();
  at_ = kHeadBytes + length;
  Frame frame;
  frame.kind = static_cast<FrameKind>(kind);
  frame.payload = std::string_view(buffer_).substr(kHeadBytes, length);
  return std::optional<Frame>(frame);
}

StatusOr<std::string> EncodeRequest(const Request& request) {
  if (request.words.size() > kMaxWords)
    return InvalidArgument(StrCat("more than ", kMaxWords, " words"));
  std::string payload;
  payload.push_back(static_cast<char>(kProtocolVersion));
  payload.push_back(static_cast<char>(request.json ? kFlagJson : 0));
  AppendBig(&payload, request.words.size(), 2);
  for (const std::string& word : request.words) {
    if (word.size() > kMaxWordBytes)
      return InvalidArgument(StrCat("a word of more than ", kMaxWordBytes, " octets"));
    AppendBig(&payload, word.size(), 2);
    payload.append(word);
  }
  if (payload.size() > kMaxPayloadBytes) return InvalidArgument("the words are too many octets");
  return payload;
}

StatusOr<Request> DecodeRequest(std::string_view payload) {
  if (payload.size() < 4) return InvalidArgument("a request that ends too soon");
  if (static_cast<uint8_t>(payload[0]) != kProtocolVersion)
    return FailedPrecondition(StrCat("the server speaks version ", kProtocolVersion,
                                     " of the control protocol, the client version ",
                                     static_cast<uint8_t>(payload[0])));
  if ((payload[1] & ~kFlagJson) != 0) return InvalidArgument("a request with unknown flags");
  Request request;
  request.json = (payload[1] & kFlagJson) != 0;
  const size_t count = Big(payload.substr(2, 2));
  if (count > kMaxWords) return InvalidArgument(StrCat("a request of ", count, " words"));
  payload.remove_prefix(4);
  for (size_t i = 0; i < count; ++i) {
    if (payload.size() < 2) return InvalidArgument("a request that ends too soon");
    const size_t size = Big(payload.substr(0, 2));
    payload.remove_prefix(2);
    if (size > kMaxWordBytes) return InvalidArgument("a word that is too long");
    if (payload.size() < size) return InvalidArgument("a request that ends too soon");
    request.words.emplace_back(payload.substr(0, size));
    payload.remove_prefix(size);
  }
  if (!payload.empty()) return InvalidArgument("octets behind a request");
  return request;
}

}  // namespace postern::control
