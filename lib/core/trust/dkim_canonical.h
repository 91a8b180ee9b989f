// Canonical forms of header fields and bodies (RFC 6376 §3.4), and the hashing of a body in all the
// forms that a message's signatures ask for, in one pass.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/trust/sha256.h"

namespace postern::trust {

enum class Canonicalization : uint8_t { kSimple, kRelaxed };
const char* CanonicalizationName(Canonicalization canonicalization);  // "simple", "relaxed"

// AppendCanonicalField appends a field to `out`, without a line end behind it. `raw` is the whole
// field without its last line end (§3.4.1: as it is; §3.4.2: name in lower case, unfolded, runs of
// blanks as one, none at the end of the value nor around the colon). A field without colon is taken
// as it is.
void AppendCanonicalField(Canonicalization canonicalization, std::string_view raw,
                          std::string& out);
// WriteCanonicalField writes it to `to`, where raw.size() octets have room; it returns how many it
// wrote. It may have used the rest of the room for more.
size_t WriteCanonicalField(Canonicalization canonicalization, std::string_view raw, char* to);

// CanonicalBody turns the pieces of a body into its canonical form and hands the form on piece by
// piece. It keeps a few octets of state, whatever comes.
class CanonicalBody {
 public:
  explicit CanonicalBody(Canonicalization canonicalization) : kind_(canonicalization) {}

  // Feed calls `sink(std::string_view)`, a const function object, with what is certain after
  // `piece`. The views live for the call.
  template <typename Sink>
  void Feed(std::string_view piece, Sink&& sink) {
    const Emitter emitter{&sink, [](const void* s, std::string_view octets) {
                            (*static_cast<const std::remove_reference_t<Sink>*>(s))(octets);
                          }};
    FeedTo(piece, emitter);
  }
  // Finish hands on what is left at the end of the body.
  template <typename Sink>
  void Finish(Sink&& sink) {
    const Emitter emitter{&sink, [](const void* s, std::string_view octets) {
                            (*static_cast<const std::remove_reference_t<Sink>*>(s))(octets);
                          }};
    FinishTo(emitter);
  }

 private:
  struct Emitter {
    const void* sink;
    void (*call)(const void*, std::string_view);
    void operator()(std::string_view octets) const { call(sink, octets); }
  };
  void FeedTo(std::string_view piece, const Emitter& emit);
  void FinishTo(const Emitter& emit);
  void FeedSimple(std::string_view piece, const Emitter& emit);
  void FeedRelaxed(std::string_view piece, const Emitter& emit);
  void FlushLines(const Emitter& emit);

  Canonicalization kind_;
  uint64_t lines_ = 0;  // line ends that count only when something follows them
  bool cr_ = false;     // a CR whose LF may still come
  bool blank_ = false;  // relaxed: blanks that count only when something follows on the line
  bool any_ = false;    // something was handed on
};

// BodyHasher hashes a body for all signatures of a message in one pass: at most one hash runs for
// each canonical form, and a signature with l= takes a copy of it in the middle.
class BodyHasher {
 public:
  BodyHasher() = default;
  BodyHasher(const BodyHasher&) = delete;
  BodyHasher& operator=(const BodyHasher&) = delete;

  // Want asks for one hash, before the first Feed: of the first `limit` octets of the canonical
  // form (l=), of all of it without one. It returns the number to ask by; the same question has the
  // same number.
  int Want(Canonicalization canonicalization, std::optional<uint64_t> limit = std::nullopt);

  void Feed(std::string_view piece);
  void Finish();

  // After Finish: the hash; nullptr when the canonical body is shorter than `limit`.
  const Digest* digest(int number) const;
  // canonical_bytes is the length of the whole canonical body behind that number.
  uint64_t canonical_bytes(int number) const;

 private:
  struct Wanted {
    Canonicalization canonicalization;
    std::optional<uint64_t> limit;
    Digest digest{};
    bool reached = false;
  };
  // Stream is one canonical form with its hash.
  struct Stream {
    explicit Stream(Canonicalization canonicalization) : canonical(canonicalization) {}
    void Put(std::string_view octets);

    CanonicalBody canonical;
    Sha256 hash;
    uint64_t bytes = 0;
    std::vector<Wanted*> limits;  // in rising order
    size_t next = 0;
    Wanted* whole = nullptr;
    bool started = false;
  };
  std::vector<Wanted> wanted_;
  std::optional<Stream> streams_[2];
};

}  // namespace postern::trust
