#include "lib/store/queue/spool_seal.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <zlib.h>

#include <openssl/aead.h>
#include <openssl/mem.h>
#include <openssl/sha.h>

#include "lib/core/base/check.h"
#include "lib/core/base/strings.h"

namespace postern::store {
namespace {

constexpr std::string_view kMagic("\0Postern", 8);
constexpr char kVersion = 1;
constexpr char kEncrypted = 1;  // flag in the head
constexpr uint32_t kLast = 1u << 31;
constexpr uint32_t kDeflated = 1u << 30;
constexpr uint32_t kLengthMask = kDeflated - 1;
// Where things are in the head: magic, version, flags, two octets of zero, a checksum of the head
// with zeros in its place (so that damage is not taken for another key), key id, salt.
constexpr size_t kFlagsAt = 9, kHeadSumAt = 12, kKeyIdAt = 16, kSaltAt = 24, kKeyIdOctets = 8,
                 kSaltOctets = 16;
// Below this many octets deflate gains nothing.
constexpr size_t kLeastToDeflate = 64;
constexpr size_t kNonceOctets = 12;  // of AES-GCM
// In `bound_`: the head, kind, id; then the chunk's number and head.
constexpr size_t kBoundIndexAt = kSealHeadOctets + 1 + 8;
constexpr size_t kBoundOctets = kBoundIndexAt + 8 + kSealChunkHeadOctets;

const uint8_t* Octets(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* Octets(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

void PutNumber(uint64_t number, size_t octets, char* into) {
  for (size_t i = 0; i < octets; ++i) into[i] = static_cast<char>(number >> (8 * i) & 0xff);
}

uint32_t Number32(const char* from) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number |= uint32_t{static_cast<unsigned char>(from[i])} << (8 * i);
  return number;
}

// Derive is HMAC-SHA256 (RFC 2104) of `label` and `salt` under `key`; it takes no memory that
// BoringSSL could be refused.
std::string Derive(std::string_view key, std::string_view label, std::string_view salt) {
  static_assert(kSealKeyOctets <= SHA256_CBLOCK);
  std::string made(SHA256_DIGEST_LENGTH, '\0');
  for (const uint8_t pad : {uint8_t{0x36}, uint8_t{0x5c}}) {
    uint8_t block[SHA256_CBLOCK];
    for (size_t i = 0; i < sizeof block; ++i)
      block[i] = static_cast<uint8_t>((i < key.size() ? Octets(key)[i] : 0) ^ pad);
    SHA256_CTX hash;
    SHA256_Init(&hash);
    SHA256_Update(&hash, block, sizeof block);
    if (pad == 0x36) {
      SHA256_Update(&hash, label.data(), label.size());
      SHA256_Update(&hash, salt.data(), salt.size());
    } else {
      SHA256_Update(&hash, made.data(), made.size());
    }
    SHA256_Final(Octets(made), &hash);
    OPENSSL_cleanse(block, sizeof block);
  }
  return made;
}

std::string RecordKey(std::string_view key, std::string_view head) {
  return Derive(key, "postern spool record", head.substr(kSaltAt, kSaltOctets));
}

void Wipe(std::string& secret) { OPENSSL_cleanse(secret.data(), secret.size()); }

std::string BoundOf(std::string_view head, SealedKind kind, uint64_t id) {
  std::string bound(head);
  bound.resize(kBoundOctets);
  bound[kSealHeadOctets] = static_cast<char>(kind);
  PutNumber(id, 8, bound.data() + kSealHeadOctets + 1);
  return bound;
}

uint32_t HeadSum(std::string_view head) {
  std::string blank(head);
  PutNumber(0, 4, blank.data() + kHeadSumAt);
  return static_cast<uint32_t>(crc32_z(0, Octets(std::string_view(blank)), blank.size()));
}

void BindChunk(uint64_t index, std::string_view chunk_head, std::string* bound) {
  PutNumber(index, 8, bound->data() + kBoundIndexAt);
  std::memcpy(bound->data() + kBoundIndexAt + 8, chunk_head.data(), kSealChunkHeadOctets);
}

// Context is AES-256-GCM with one key.
class Context {
 public:
  explicit Context(std::string_view key) {
    POSTERN_CHECK(EVP_AEAD_CTX_init(context_.get(), EVP_aead_aes_256_gcm(), Octets(key), key.size(),
                                    kSealTagOctets, nullptr) == 1);
  }
  const EVP_AEAD_CTX* get() const { return context_.get(); }

 private:
  bssl::ScopedEVP_AEAD_CTX context_;
};

Status Broken(std::string_view what) { return InvalidArgument(StrCat("sealed record: ", what)); }

// Deflated is `plain` made smaller, or nothing where that is not to be had.
std::string Deflated(std::string_view plain) {
  std::string made;
  if (plain.size() < kLeastToDeflate) return made;
  made.resize(plain.size() - 1);
  auto length = static_cast<uLongf>(made.size());
  const int result = compress2(Octets(made), &length, Octets(plain),
                               static_cast<uLong>(plain.size()), Z_BEST_SPEED);
  made.resize(result == Z_OK ? length : 0);
  return made;
}

}  // namespace

const std::string_view kSealMagic = kMagic;

bool IsSealed(std::string_view octets) { return octets.starts_with(kMagic); }

// --- the setting ---

StatusOr<std::shared_ptr<const SpoolSeal>> SpoolSeal::Make(bool compress, std::string_view key,
                                                           rt::Random& random) {
  if (!key.empty() && key.size() != kSealKeyOctets) {
    return InvalidArgument(
        StrCat("the key of the queue has ", key.size(), " characters instead of ", kSealKeyOctets));
  }
  std::shared_ptr<SpoolSeal> made(new SpoolSeal);
  made->compress_ = compress;
  made->random_ = &random;
  if (key.empty()) return std::shared_ptr<const SpoolSeal>(std::move(made));
  made->key_ = key;
  made->key_id_ = Derive(key, "postern spool key id", "").substr(0, kKeyIdOctets);
  for (const char c : made->key_id_) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    made->key_id_text_ += kDigits[static_cast<unsigned char>(c) >> 4];
    made->key_id_text_ += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return std::shared_ptr<const SpoolSeal>(std::move(made));
}

const SpoolSeal& SpoolSeal::Plain() {
  static const SpoolSeal kPlain;
  return kPlain;
}

SpoolSeal::~SpoolSeal() { Wipe(key_); }

std::string SpoolSeal::SealText(uint64_t id, std::string_view octets) const {
  std::string out;
  SealWriter(*this, SealedKind::kText, id).Append(octets, true, &out);
  if (key_.empty() && out.size() >= octets.size() && !IsSealed(octets)) out = octets;
  return out;
}

std::string SpoolSeal::SealEnvelope(uint64_t id, std::string octets) const {
  if (key_.empty()) return octets;
  std::string out;
  SealWriter(*this, SealedKind::kEnvelope, id).Append(octets, true, &out);
  return out;
}

StatusOr<std::string> SpoolSeal::Open(SealedKind kind, uint64_t id, std::string_view stored,
                                      uint64_t limit_bytes) const {
  if (!IsSealed(stored)) return std::string(stored);
  const StatusOr<SealReader> reader =
      SealReader::Begin(*this, kind, id, stored.substr(0, kSealHeadOctets));
  if (!reader.ok()) return reader.status();
  stored.remove_prefix(kSealHeadOctets);
  std::string whole, plain;
  for (uint64_t index = 0;; ++index) {
    const StatusOr<SealReader::Chunk> chunk =
        reader->ParseChunk(stored.substr(0, kSealChunkHeadOctets));
    if (!chunk.ok()) return chunk.status();
    stored.remove_prefix(kSealChunkHeadOctets);
    if (stored.size() < chunk->stored_bytes) return Broken("it ends too soon");
    POSTERN_RETURN_IF_ERROR(
        reader->OpenChunk(index, *chunk, stored.substr(0, chunk->stored_bytes), &plain));
    stored.remove_prefix(chunk->stored_bytes);
    if (whole.size() + plain.size() > limit_bytes) return Broken("it is too long");
    whole += plain;
    if (!chunk->last) continue;
    if (!stored.empty()) return Broken("something follows it");
    return whole;
  }
}

// --- writing ---

SealWriter::SealWriter(const SpoolSeal& seal, SealedKind kind, uint64_t id)
    : compress_(seal.compress_ && kind == SealedKind::kText), head_(kSealHeadOctets, '\0') {
  std::memcpy(head_.data(), kMagic.data(), kMagic.size());
  head_[kMagic.size()] = kVersion;
  if (seal.encrypts()) {
    head_[kFlagsAt] = kEncrypted;
    std::memcpy(head_.data() + kKeyIdAt, seal.key_id_.data(), kKeyIdOctets);
    seal.random_->Fill(std::span<uint8_t>(Octets(head_) + kSaltAt, kSaltOctets));
    key_ = RecordKey(seal.key_, head_);
  }
  PutNumber(HeadSum(head_), 4, head_.data() + kHeadSumAt);
  bound_ = BoundOf(head_, kind, id);
}

SealWriter::~SealWriter() { Wipe(key_); }

void SealWriter::Append(std::string_view octets, bool last, std::string* out) {
  if (index_ == 0) *out += head_;
  while (octets.size() > kSealChunkOctets) {
    AppendChunk(octets.substr(0, kSealChunkOctets), false, out);
    octets.remove_prefix(kSealChunkOctets);
  }
  if (last || !octets.empty()) AppendChunk(octets, last, out);
}

void SealWriter::AppendChunk(std::string_view plain, bool last, std::string* out) {
  const std::string deflated = compress_ ? Deflated(plain) : std::string();
  const std::string_view payload = deflated.empty() ? plain : std::string_view(deflated);
  const size_t stored = payload.size() + (key_.empty() ? 0 : kSealTagOctets);
  char head[kSealChunkHeadOctets];
  PutNumber(stored, 4, head);
  PutNumber(plain.size() | (last ? kLast : 0) | (deflated.empty() ? 0 : kDeflated), 4, head + 4);
  out->append(head, sizeof head);
  const uint64_t index = index_++;
  if (key_.empty()) {
    out->append(payload);
    return;
  }
  BindChunk(index, std::string_view(head, sizeof head), &bound_);
  uint8_t nonce[kNonceOctets] = {};
  PutNumber(index, 8, reinterpret_cast<char*>(nonce));
  const size_t at = out->size();
  out->resize(at + stored);
  size_t length = 0;
  POSTERN_CHECK(EVP_AEAD_CTX_seal(Context(key_).get(), Octets(*out) + at, &length, stored, nonce,
                                  sizeof nonce, Octets(payload), payload.size(), Octets(bound_),
                                  bound_.size()) == 1);
  POSTERN_CHECK(length == stored);
}

// --- reading ---

SealReader::SealReader(SealReader&&) noexcept = default;
SealReader& SealReader::operator=(SealReader&&) noexcept = default;
SealReader::~SealReader() { Wipe(key_); }

StatusOr<SealReader> SealReader::Begin(const SpoolSeal& seal, SealedKind kind, uint64_t id,
                                       std::string_view head) {
  if (head.size() != kSealHeadOctets || !IsSealed(head)) return Broken("it has no head");
  if (HeadSum(head) != Number32(head.data() + kHeadSumAt)) return Broken("its head was changed");
  if (head[kMagic.size()] != kVersion || (head[kFlagsAt] & ~kEncrypted) != 0)
    return Broken("its version is not known");
  SealReader reader;
  if (head[kFlagsAt] == kEncrypted) {
    if (!seal.encrypts())
      return FailedPrecondition("it is encrypted, and the configuration has no key");
    if (head.substr(kKeyIdAt, kKeyIdOctets) != seal.key_id_)
      return FailedPrecondition("it is encrypted with another key than the configuration's");
    reader.key_ = RecordKey(seal.key_, head);
  }
  reader.bound_ = BoundOf(head, kind, id);
  return reader;
}

StatusOr<SealReader::Chunk> SealReader::ParseChunk(std::string_view head) const {
  if (head.size() != kSealChunkHeadOctets) return Broken("it ends too soon");
  Chunk chunk;
  std::memcpy(chunk.head_octets, head.data(), head.size());
  chunk.stored_bytes = Number32(head.data());
  const uint32_t what = Number32(head.data() + 4);
  chunk.plain_bytes = what & kLengthMask;
  chunk.deflated = (what & kDeflated) != 0;
  chunk.last = (what & kLast) != 0;
  const size_t tag = key_.empty() ? 0 : kSealTagOctets;
  const bool fits = chunk.deflated ? chunk.stored_bytes < chunk.plain_bytes + tag
                                   : chunk.stored_bytes == chunk.plain_bytes + tag;
  if (chunk.plain_bytes > kSealChunkOctets || !fits || chunk.stored_bytes < tag ||
      (chunk.plain_bytes == 0 && !chunk.last))
    return Broken("the length of a part is wrong");
  return chunk;
}

Status SealReader::OpenChunk(uint64_t index, const Chunk& chunk, std::string_view stored,
                             std::string* plain) const {
  std::string opened;
  if (!key_.empty()) {
    std::string bound = bound_;
    BindChunk(index, chunk.head(), &bound);
    uint8_t nonce[kNonceOctets] = {};
    PutNumber(index, 8, reinterpret_cast<char*>(nonce));
    opened.resize(stored.size());
    size_t length = 0;
    if (EVP_AEAD_CTX_open(Context(key_).get(), Octets(opened), &length, opened.size(), nonce,
                          sizeof nonce, Octets(stored), stored.size(), Octets(bound),
                          bound.size()) != 1)
      return Broken("a part of it was changed");
    opened.resize(length);
    stored = opened;
  }
  plain->resize(chunk.plain_bytes);
  if (!chunk.deflated) {
    if (stored.size() != plain->size()) return Broken("the length of a part is wrong");
    if (!stored.empty()) std::memcpy(plain->data(), stored.data(), stored.size());
    return OkStatus();
  }
  auto length = static_cast<uLongf>(plain->size());
  const int result =
      uncompress(Octets(*plain), &length, Octets(stored), static_cast<uLong>(stored.size()));
  if (result == Z_MEM_ERROR) return Unavailable("out of memory");
  if (result != Z_OK || length != plain->size()) return Broken("a part of it cannot be unpacked");
  return OkStatus();
}

}  // namespace postern::store
