#include "lib/core/control/frames.h"

#include <gtest/gtest.h>

namespace postern::control {
namespace {

TEST(Frames, ComeOutAsTheyWentInWhateverThePieces) {
  const std::string sent = EncodeFrame(FrameKind::kOutput, "one") +
                           EncodeFrame(FrameKind::kInputEnd, "") +
                           EncodeFrame(FrameKind::kError, std::string("t\0o", 3));
  for (size_t piece = 1; piece < sent.size(); ++piece) {
    FrameReader reader;
    std::vector<std::string> seen;
    for (size_t at = 0; at < sent.size(); at += piece) {
      reader.Feed(std::string_view(sent).substr(at, piece));
      for (;;) {
        const auto next = reader.Next();
        ASSERT_TRUE(next.ok());
        if (!next->has_value()) break;
        seen.push_back(std::to_string(static_cast<int>((*next)->kind)) +
                       std::string((*next)->payload));
      }
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"4one", "3", std::string("5t\0o", 4)})) << piece;
  }
}

TEST(Frames, ThatAreTooLongOrOfNoKindEndTheStream) {
  FrameReader reader;
  reader.Feed(std::string_view("\x7f\xff\xff\xff\x01", 5));
  EXPECT_FALSE(reader.Next().ok());
  FrameReader other;
  other.Feed(std::string_view("\0\0\0\0\x09", 5));
  EXPECT_FALSE(other.Next().ok());
}

TEST(Requests, AreReadAsTheyWereWritten) {
  Request request;
  request.words = {"show", "queue", "", std::string("a\0b", 3)};
  request.json = true;
  const StatusOr<std::string> payload = EncodeRequest(request);
  ASSERT_TRUE(payload.ok());
  const StatusOr<Request> read = DecodeRequest(*payload);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, request);
  for (size_t end = 0; end < payload->size(); ++end)
    EXPECT_FALSE(DecodeRequest(payload->substr(0, end)).ok()) << end;
  EXPECT_FALSE(DecodeRequest(*payload + "x").ok());
}

TEST(Requests, OfAnotherVersionAreToldSo) {
  Request request;
  std::string payload = *EncodeRequest(request);
  payload[0] = 2;
  EXPECT_EQ(DecodeRequest(payload).status().code(), StatusCode::kFailedPrecondition);
}

TEST(Requests, HaveBounds) {
  Request request;
  request.words.assign(kMaxWords + 1, "x");
  EXPECT_FALSE(EncodeRequest(request).ok());
  request.words = {std::string(kMaxWordBytes + 1, 'x')};
  EXPECT_FALSE(EncodeRequest(request).ok());
}

}  // namespace
}  // namespace postern::control
