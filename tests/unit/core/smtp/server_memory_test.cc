// What a session costs in memory: bytes while it is idle, allocations while a text flows.
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/smtp/server_session.h"

namespace {

// Every allocation of this program is counted, with its size in front of it.
constexpr size_t kHeader = alignof(std::max_align_t);
thread_local size_t live_bytes = 0;
thread_local size_t allocations = 0;

void* Allocate(size_t size) {
  void* const block = std::malloc(size + kHeader);
  if (block == nullptr) throw std::bad_alloc();
  *static_cast<size_t*>(block) = size;
  live_bytes += size;
  ++allocations;
  return static_cast<char*>(block) + kHeader;
}

void Free(void* pointer) {
  if (pointer == nullptr) return;
  void* const block = static_cast<char*>(pointer) - kHeader;
  live_bytes -= *static_cast<size_t*>(block);
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* pointer) noexcept { Free(pointer); }
void operator delete[](void* pointer) noexcept { Free(pointer); }
void operator delete(void* pointer, size_t) noexcept { Free(pointer); }
void operator delete[](void* pointer, size_t) noexcept { Free(pointer); }

namespace postern::smtp {
namespace {

using Kind = ServerEvent::Kind;

constexpr Instant kNow{1'000'000'000};

// Pump runs `session`, accepting everything, until it wants input; it returns how many pieces of
// text came.
int Pump(ServerSession& session) {
  int pieces = 0;
  while (true) {
    const ServerEvent event = session.NextEvent(kNow);
    if (event.kind == Kind::kBodyChunk) ++pieces;
    if (event.kind == Kind::kNeedOutput || event.kind == Kind::kNeedInput ||
        event.kind == Kind::kClosed) {
      session.Wrote(session.PendingOutput().size());
    }
    if (event.kind == Kind::kNeedInput || event.kind == Kind::kClosed) return pieces;
    if (event.WantsDecision()) session.Decide(Decision::Accept());
  }
}

TEST(ServerMemory, IdleSessionsAreSmall) {
  const auto options = std::make_shared<const ServerOptions>();
  std::string input = "EHLO client.of.a.rather.long.name.example.net\r\n";
  for (int i = 0; i < 90; ++i)
    input += "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nRSET\r\n";
  input += "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nBDAT 5 LAST\r\nhello";
  const size_t before = live_bytes;
  ServerSession session(options, "[IPv6:2001:db8::ffff:ffff:ffff]", false, kNow);
  Pump(session);
  EXPECT_LT(live_bytes - before, 1536u);
  // Behind a message and a large flood of commands too.
  for (size_t at = 0; at < input.size();) {
    at += session.Feed(std::string_view(input).substr(at));
    Pump(session);
  }
  EXPECT_LT(live_bytes - before, 1536u);
}

TEST(ServerMemory, ATextFlowsWithoutAllocations) {
  auto options = std::make_shared<ServerOptions>();
  options->max_message_bytes = 0;
  ServerSession session(options, "[192.0.2.1]", false, kNow);
  session.Feed("EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n");
  Pump(session);
  std::string piece;
  while (piece.size() < 16'000)
    piece += "..a line of a text, with a dot to be taken away in front of it\r\n";
  session.Feed(piece);
  Pump(session);
  const size_t before = allocations;
  int pieces = 0;
  for (int i = 0; i < 1000; ++i) {
    session.Feed(piece);
    pieces += Pump(session);
  }
  EXPECT_GE(pieces, 1000);
  EXPECT_EQ(allocations, before);
}

// Row 3 of the attack catalogue: tiny chunks do not pile anything up.
TEST(ServerMemory, TinyChunksCostNothing) {
  auto options = std::make_shared<const ServerOptions>();
  ServerSession session(options, "[192.0.2.1]", false, kNow);
  session.Feed("EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n");
  Pump(session);
  session.Feed("BDAT 1\r\nx");
  Pump(session);
  const size_t before = live_bytes;
  for (int i = 0; i < 20'000; ++i) {
    session.Feed("BDAT 1\r\nx");
    Pump(session);
  }
  EXPECT_LE(live_bytes, before + 64);
}

}  // namespace
}  // namespace postern::smtp
