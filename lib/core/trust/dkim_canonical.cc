#include "lib/core/trust/dkim_canonical.h"

#include <algorithm>
#include <array>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

// kLineEnds is a supply of CRLFs for bodies that have many empty lines in the middle.
constexpr size_t kLineEndsHeld = 256;
constexpr std::array<char, 2 * kLineEndsHeld> kLineEnds = [] {
  std::array<char, 2 * kLineEndsHeld> text{};
  for (size_t i = 0; i < text.size(); i += 2) {
    text[i] = '\r';
    text[i + 1] = '\n';
  }
  return text;
}();

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// UnchangedPrefix tells how many octets of [p, end) the relaxed form surely leaves as they are,
// when nothing is held back before them: words, single blanks between them, and line ends with a
// word behind. It need not find all of them. What it stops at is for the machine that takes octets
// one by one.
size_t UnchangedPrefix(const char* p, const char* end) {
  const char* const start = p;
#ifdef __SSE2__
  // A bit for each of 64 octets. Two in a row that are no more than a blank are what may change,
  // and of these a line end with a word behind it does not; alone, only a tab does. The last two
  // octets are there to look ahead to.
  const __m128i most = _mm_set1_epi8(' '), tab = _mm_set1_epi8('\t');
  while (end - p >= 64) {
    uint64_t low = 0;
    __m128i tabs = _mm_setzero_si128();
    for (int i = 0; i < 4; ++i) {
      const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i));
      tabs = _mm_or_si128(tabs, _mm_cmpeq_epi8(octets, tab));
      const auto bits = static_cast<unsigned>(
          _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(octets, most), most)));
      low |= static_cast<uint64_t>(bits) << (16 * i);
    }
    if (_mm_movemask_epi8(tabs) != 0) break;
    const uint64_t pairs = low & (low >> 1);
    for (uint64_t left = pairs & (~uint64_t{0} >> 2); left != 0; left &= left - 1) {
      const int at = __builtin_ctzll(left);
      if (p[at] != '\r' || p[at + 1] != '\n' || (pairs >> at & 2) != 0)
        return static_cast<size_t>(p - start) + static_cast<size_t>(at);
    }
    p += 62;
  }
#endif
  while (p != end && static_cast<unsigned char>(*p) > 0x20) ++p;
  return static_cast<size_t>(p - start);
}

// CopyUnchanged copies octets of a field's value that the relaxed form leaves as they are, without
// line ends, until it meets another or comes near `end`. Nothing is held back, and `to` has room
// for as much as there is up to `end`.
void CopyUnchanged(const char*& p, const char* end, char*& to) {
#ifdef __SSE2__
  const __m128i blank = _mm_set1_epi8(' '), tab = _mm_set1_epi8('\t'), cr = _mm_set1_epi8('\r');
  while (end - p >= 17) {
    const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), here);
    const __m128i special_next =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(next, blank), _mm_cmpeq_epi8(next, tab)),
                     _mm_cmpeq_epi8(next, cr));
    const auto stops = static_cast<unsigned>(_mm_movemask_epi8(
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(here, tab), _mm_cmpeq_epi8(here, cr)),
                     _mm_and_si128(_mm_cmpeq_epi8(here, blank), special_next))));
    const int same = stops == 0 ? 16 : __builtin_ctz(stops);
    p += same;
    to += same;
    if (stops != 0) return;
  }
#else
  static_cast<void>(p), static_cast<void>(end), static_cast<void>(to);
#endif
}

}  // namespace

const char* CanonicalizationName(Canonicalization canonicalization) {
  return canonicalization == Canonicalization::kSimple ? "simple" : "relaxed";
}

size_t WriteCanonicalField(Canonicalization canonicalization, std::string_view raw, char* to) {
  const size_t colon = raw.find(':');
  if (canonicalization == Canonicalization::kSimple || colon == std::string_view::npos) {
    std::copy(raw.begin(), raw.end(), to);
    return raw.size();
  }
  // §3.4.2. What is written is never ahead of what was read, so there is always room for all that
  // is still to be read.
  char* const start = to;
  size_t name_end = colon;
  while (name_end > 0 && IsBlank(raw[name_end - 1])) --name_end;
  for (size_t i = 0; i < name_end; ++i) *to++ = AsciiToLower(raw[i]);
  *to++ = ':';
  const char* const value_start = to;
  bool blank = false;
  const char* p = raw.data() + colon + 1;
  const char* const end = raw.data() + raw.size();
  while (p < end) {
    const char c = *p;
    if (IsBlank(c)) {
      blank = true;
      ++p;
      continue;
    }
    // Unfolding takes the CRLF out; the blank that follows it stays one.
    if (c == '\r' && end - p > 1 && p[1] == '\n') {
      p += 2;
      continue;
    }
    if (blank && to != value_start) *to++ = ' ';
    blank = false;
    *to++ = c;
    ++p;
    CopyUnchanged(p, end, to);
    while (p != end && static_cast<unsigned char>(*p) > 0x20) *to++ = *p++;
  }
  return static_cast<size_t>(to - start);
}

void AppendCanonicalField(Canonicalization canonicalization, std::string_view raw,
                          std::string& out) {
  const size_t before = out.size();
  out.resize(before + raw.size());
  out.resize(before + WriteCanonicalField(canonicalization, raw, out.data() + before));
}

void CanonicalBody::FlushLines(const Emitter& emit) {
  while (lines_ > 0) {
    const uint64_t now = std::min<uint64_t>(lines_, kLineEndsHeld);
    emit(std::string_view(kLineEnds.data(), static_cast<size_t>(2 * now)));
    lines_ -= now;
  }
}

void CanonicalBody::FeedTo(std::string_view piece, const Emitter& emit) {
  if (piece.empty()) return;
  kind_ == Canonicalization::kSimple ? FeedSimple(piece, emit) : FeedRelaxed(piece, emit);
}

// §3.4.3: nothing changes but the empty lines at the end, so line ends at the end of a piece wait
// until something else follows them.
void CanonicalBody::FeedSimple(std::string_view piece, const Emitter& emit) {
  if (cr_) {
    cr_ = false;
    if (piece.front() == '\n') {
      ++lines_;
      piece.remove_prefix(1);
    } else {
      FlushLines(emit);
      emit("\r");
      any_ = true;
    }
  }
  size_t end = piece.size();
  bool cr = false;
  if (end > 0 && piece[end - 1] == '\r') {
    cr = true;
    --end;
  }
  uint64_t lines = 0;
  while (end >= 2 && piece[end - 1] == '\n' && piece[end - 2] == '\r') {
    ++lines;
    end -= 2;
  }
  if (end > 0) {
    FlushLines(emit);
    emit(piece.substr(0, end));
    any_ = true;
  }
  lines_ += lines;
  cr_ = cr;
}

// §3.4.4: runs of blanks become one, those at the end of a line go, and so do the empty lines at
// the end.
void CanonicalBody::FeedRelaxed(std::string_view piece, const Emitter& emit) {
  std::array<char, 4096> buffer;
  const char* p = piece.data();
  const char* const end = p + piece.size();
  // A character hands on at most one blank besides itself, and one line end.
  constexpr size_t kMostForOne = 4;
  constexpr size_t kMostCopied = 512;  // longer runs are hashed where they stand
  char* to = buffer.data();
  char* const full = buffer.data() + buffer.size() - kMostForOne;
  const auto flush = [&] {
    if (to != buffer.data())
      emit(std::string_view(buffer.data(), static_cast<size_t>(to - buffer.data())));
    to = buffer.data();
  };
  const auto put = [&](char c) {
    if (lines_ == 1) {
      *to++ = '\r';
      *to++ = '\n';
      lines_ = 0;
    } else if (lines_ != 0) {
      flush();
      FlushLines(emit);
    }
    if (blank_) *to++ = ' ';
    blank_ = false;
    *to++ = c;
    any_ = true;
    if (to >= full) flush();
  };
  while (p < end) {
    if (!cr_ && !blank_ && lines_ == 0) {
      // Nothing is held back: what stays as it is goes on in one piece.
      const size_t run = UnchangedPrefix(p, end);
      if (run >= kMostCopied) {
        flush();
        emit(std::string_view(p, run));
      } else {
        if (run > static_cast<size_t>(full - to)) flush();
        to = std::copy(p, p + run, to);
        if (to >= full) flush();
      }
      any_ = any_ || run != 0;
      p += run;
      if (p == end) break;
    }
    const char c = *p++;
    if (cr_) {
      cr_ = false;
      if (c == '\n') {
        blank_ = false;
        ++lines_;
        continue;
      }
      put('\r');
    }
    if (c == '\r') {
      cr_ = true;
    } else if (c == ' ' || c == '\t') {
      blank_ = true;
    } else {
      put(c);
    }
  }
  flush();
}

void CanonicalBody::FinishTo(const Emitter& emit) {
  if (cr_) {
    cr_ = false;
    FlushLines(emit);
    emit(blank_ ? " \r" : "\r");
    any_ = true;
  }
  lines_ = 0;
  // §3.4.3: a body without a line end at its end, and an empty one, get one. §3.4.4: an empty body
  // stays empty.
  if (any_ || kind_ == Canonicalization::kSimple) emit("\r\n");
}

// Put hashes a piece of the canonical body, and stops at each limit to take the hash there.
void BodyHasher::Stream::Put(std::string_view octets) {
  while (next < limits.size() && limits[next]->limit.value() <= bytes + octets.size()) {
    Wanted& wanted = *limits[next];
    const auto take = static_cast<size_t>(*wanted.limit - bytes);
    hash.Update(octets.substr(0, take));
    octets.remove_prefix(take);
    bytes += take;
    Sha256 copy = hash;
    wanted.digest = copy.Finish();
    wanted.reached = true;
    ++next;
  }
  // Behind the last limit only the length is of interest, unless somebody wants it all.
  if (whole != nullptr || next < limits.size()) hash.Update(octets);
  bytes += octets.size();
}

int BodyHasher::Want(Canonicalization canonicalization, std::optional<uint64_t> limit) {
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i].canonicalization == canonicalization && wanted_[i].limit == limit)
      return static_cast<int>(i);
  }
  wanted_.push_back(Wanted{canonicalization, limit});
  auto& stream = streams_[static_cast<size_t>(canonicalization)];
  if (!stream) stream.emplace(canonicalization);
  return static_cast<int>(wanted_.size() - 1);
}

void BodyHasher::Feed(std::string_view piece) {
  for (auto& stream : streams_) {
    if (!stream) continue;
    if (!stream->started) {
      stream->started = true;
      for (Wanted& wanted : wanted_) {
        if (&streams_[static_cast<size_t>(wanted.canonicalization)] != &stream) continue;
        if (wanted.limit) {
          stream->limits.push_back(&wanted);
        } else {
          stream->whole = &wanted;
        }
      }
      std::sort(stream->limits.begin(), stream->limits.end(),
                [](const Wanted* a, const Wanted* b) { return *a->limit < *b->limit; });
    }
    stream->canonical.Feed(piece, [&](std::string_view octets) { stream->Put(octets); });
  }
}

void BodyHasher::Finish() {
  Feed({});  // for a message without a body
  for (auto& stream : streams_) {
    if (!stream) continue;
    stream->canonical.Finish([&](std::string_view octets) { stream->Put(octets); });
    stream->Put({});  // limits of 0 in an empty body
    if (stream->whole != nullptr) {
      stream->whole->digest = stream->hash.Finish();
      stream->whole->reached = true;
    }
  }
}

const Digest* BodyHasher::digest(int number) const {
  const Wanted& wanted = wanted_[static_cast<size_t>(number)];
  return wanted.reached ? &wanted.digest : nullptr;
}

uint64_t BodyHasher::canonical_bytes(int number) const {
  const Wanted& wanted = wanted_[static_cast<size_t>(number)];
  return streams_[static_cast<size_t>(wanted.canonicalization)]->bytes;
}

}  // namespace postern::trust
