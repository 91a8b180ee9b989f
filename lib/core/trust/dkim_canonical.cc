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

// UnchangedPrefix tells how many octets of [p, end) the relaxed form surely leaves as they are,
// when nothing is held back before them: words, single blanks between them, and line ends with a
// word behind. It need not find all of them. What it stops at is for the machine that takes octets
// one by one.
size_t UnchangedPrefix(const char* p, const char* end) {
  const char* const start = p;
#ifdef __SSE2__
  // For sixteen octets at once, with the two behind each: a tab stops, a blank before a blank or a
  // CR, and a CR unless LF and then a word follow it.
  const __m128i blank = _mm_set1_epi8(' '), tab = _mm_set1_epi8('\t'), cr = _mm_set1_epi8('\r'),
                lf = _mm_set1_epi8('\n');
  while (end - p >= 18) {
    const __m128i here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 1));
    const __m128i after = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 2));
    const auto special = [&](__m128i v) {
      return _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, blank), _mm_cmpeq_epi8(v, tab)),
                          _mm_cmpeq_epi8(v, cr));
    };
    const __m128i bad_blank = _mm_and_si128(_mm_cmpeq_epi8(here, blank), special(next));
    const __m128i good_line = _mm_andnot_si128(special(after), _mm_cmpeq_epi8(next, lf));
    const __m128i bad_cr = _mm_andnot_si128(good_line, _mm_cmpeq_epi8(here, cr));
    const auto stops = static_cast<unsigned>(_mm_movemask_epi8(
        _mm_or_si128(_mm_cmpeq_epi8(here, tab), _mm_or_si128(bad_blank, bad_cr))));
    if (stops != 0) return static_cast<size_t>(p - start) + __builtin_ctz(stops);
    p += 16;
  }
#endif
  while (p<end&& static_cast<unsigned char>(*p)> 0x20) ++p;
  return static_cast<size_t>(p - start);
}

}  // namespace

const char* CanonicalizationName(Canonicalization canonicalization) {
  return canonicalization == Canonicalization::kSimple ? "simple" : "relaxed";
}

void AppendCanonicalField(Canonicalization canonicalization, std::string_view raw,
                          std::string& out) {
  const size_t colon = raw.find(':');
  if (canonicalization == Canonicalization::kSimple || colon == std::string_view::npos) {
    out.append(raw);
    return;
  }
  // §3.4.2: the value never grows, so the place for it can be made at once.
  const size_t before = out.size();
  out.resize(before + raw.size() + 1);
  char* to = out.data() + before;
  size_t name_end = colon;
  while (name_end > 0 && (raw[name_end - 1] == ' ' || raw[name_end - 1] == '\t')) --name_end;
  for (size_t i = 0; i < name_end; ++i) *to++ = AsciiToLower(raw[i]);
  *to++ = ':';
  const char* value_start = to;
  bool blank = false;
  const char* p = raw.data() + colon + 1;
  const char* end = raw.data() + raw.size();
  for (; p < end; ++p) {
    const char c = *p;
    if (c == ' ' || c == '\t') {
      blank = true;
      continue;
    }
    // Unfolding takes the CRLF out; the blank that follows it stays one.
    if (c == '\r' && end - p > 1 && p[1] == '\n') {
      ++p;
      continue;
    }
    if (blank && to != value_start) *to++ = ' ';
    blank = false;
    *to++ = c;
  }
  out.resize(static_cast<size_t>(to - out.data()));
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

struct BodyHasher::Stream {
  explicit Stream(Canonicalization canonicalization) : canonical(canonicalization) {}

  // Put hashes a piece of the canonical body, and stops at each limit to take the hash there.
  void Put(std::string_view octets) {
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

  CanonicalBody canonical;
  Sha256 hash;
  uint64_t bytes = 0;
  std::vector<Wanted*> limits;  // in rising order
  size_t next = 0;
  Wanted* whole = nullptr;
  bool started = false;
};

BodyHasher::BodyHasher() = default;
BodyHasher::~BodyHasher() = default;

int BodyHasher::Want(Canonicalization canonicalization, std::optional<uint64_t> limit) {
  for (size_t i = 0; i < wanted_.size(); ++i) {
    if (wanted_[i].canonicalization == canonicalization && wanted_[i].limit == limit)
      return static_cast<int>(i);
  }
  wanted_.push_back(Wanted{canonicalization, limit});
  auto& stream = streams_[static_cast<size_t>(canonicalization)];
  if (!stream) stream = std::make_unique<Stream>(canonicalization);
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
