// How the texts of messages, and envelopes, are written where `queue compression` or `queue
// encryption` asks for more than their octets.
//
// A sealed record is a head of kSealHeadOctets, and chunks: four octets for the length of what is
// stored, four for the length of what it stands for with two flags, and that. Each chunk is
// deflated for itself (unless that gains nothing) and then sealed with AES-256-GCM, so that a large
// text is written and read with one chunk in memory, and read from anywhere. Each record has a key
// of its own, made of the configuration's and 16 random octets in its head; a chunk's number is its
// nonce under that key. Bound to each chunk are the head, what kind of record it is, whose, which
// chunk and whether it is the last: a record that was cut, or put in another's place, is noticed.
//
// A record says itself what it is: what is read with one setting was written with any. Octets that
// begin as a record does and are none are written as a record.
//
// Sizes and checksums in the queue's tables are those of the text as it was received.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/core/base/status.h"
#include "lib/rt/random.h"

namespace postern::store {

inline constexpr size_t kSealHeadOctets = 40;
inline constexpr size_t kSealChunkHeadOctets = 8;
inline constexpr size_t kSealTagOctets = 16;
// kSealChunkOctets is the most that one chunk stands for.
inline constexpr size_t kSealChunkOctets = 64 * 1024;
// kSealKeyOctets is the length of the key of `queue encryption`, as OpenSMTPD has it: what
// `openssl rand -hex 16` prints.
inline constexpr size_t kSealKeyOctets = 32;

enum class SealedKind : char { kText = 't', kEnvelope = 'e' };

// IsSealed tells whether what begins with `octets` (at least 8 of them where there are as many) is
// a sealed record.
bool IsSealed(std::string_view octets);
// kSealMagic is how records begin.
extern const std::string_view kSealMagic;

class SpoolSeal;

// SealWriter makes one record, piece by piece.
class SealWriter {
 public:
  SealWriter(const SpoolSeal& seal, SealedKind kind, uint64_t id);
  ~SealWriter();
  // Append adds to `*out` the record's octets for `octets`; `last` ends the record. Pieces as large
  // as can be had make it small.
  void Append(std::string_view octets, bool last, std::string* out);

 private:
  void AppendChunk(std::string_view plain, bool last, std::string* out);

  const bool compress_;
  std::string head_;
  std::string key_;    // of this record; empty: not encrypted
  std::string bound_;  // what is bound to each chunk, to be completed
  uint64_t index_ = 0;
};

// SealReader reads one record. The functions do not wait; the caller brings the octets.
class SealReader {
 public:
  struct Chunk {
    uint32_t stored_bytes = 0;
    uint32_t plain_bytes = 0;
    bool deflated = false;
    bool last = false;
    std::string_view head() const { return std::string_view(head_octets, sizeof head_octets); }
    char head_octets[kSealChunkHeadOctets] = {};
  };
  // Begin reads the head. kInvalidArgument: it is none, or of a version that we do not know;
  // kFailedPrecondition: it takes a key that `seal` has not.
  static StatusOr<SealReader> Begin(const SpoolSeal& seal, SealedKind kind, uint64_t id,
                                    std::string_view head);
  SealReader(SealReader&&) noexcept;
  SealReader& operator=(SealReader&&) noexcept;
  ~SealReader();

  // ParseChunk reads the head of a chunk.
  StatusOr<Chunk> ParseChunk(std::string_view head) const;
  // OpenChunk puts what chunk number `index` stands for in `*plain`; kInvalidArgument: it is not
  // what was written there.
  Status OpenChunk(uint64_t index, const Chunk& chunk, std::string_view stored,
                   std::string* plain) const;

 private:
  SealReader() = default;

  std::string key_;
  std::string bound_;
};

// SpoolSeal is the setting: what new records are like, and the key. Any thread.
class SpoolSeal {
 public:
  // Make: `key` is empty or has kSealKeyOctets (kInvalidArgument). `random` outlives it.
  static StatusOr<std::shared_ptr<const SpoolSeal>> Make(bool compress, std::string_view key,
                                                         rt::Random& random);
  // Plain writes everything as it is and reads what takes no key.
  static const SpoolSeal& Plain();
  ~SpoolSeal();

  // Wants tells whether a text that begins with `octets` is to be written as a record.
  bool Wants(std::string_view octets) const {
    return compress_ || !key_.empty() || IsSealed(octets);
  }
  bool encrypts() const { return !key_.empty(); }
  // key_id names the key and does not give it away: 16 hexadecimal digits, empty without one.
  const std::string& key_id() const { return key_id_text_; }

  // SealText is a whole text as it is to be stored: a record, or itself where that is shorter and
  // there is no key.
  std::string SealText(uint64_t id, std::string_view octets) const;
  // SealEnvelope is an encoded envelope as it is to be stored: itself without a key.
  std::string SealEnvelope(uint64_t id, std::string octets) const;
  // Open gives what a whole stored text or envelope stands for: what is no record is itself.
  // kInvalidArgument, kFailedPrecondition: see SealReader; the former also beyond `limit_bytes`.
  StatusOr<std::string> Open(SealedKind kind, uint64_t id, std::string_view stored,
                             uint64_t limit_bytes) const;

 private:
  friend class SealWriter;
  friend class SealReader;
  SpoolSeal() = default;

  bool compress_ = false;
  std::string key_;
  std::string key_id_;  // 8 octets
  std::string key_id_text_;
  rt::Random* random_ = nullptr;
};

// kMostEnvelopeOctets bounds what a stored envelope may stand for: well above what EncodeEnvelope
// makes of the longest addresses and texts.
inline constexpr uint64_t kMostEnvelopeOctets = 16 << 20;

}  // namespace postern::store
