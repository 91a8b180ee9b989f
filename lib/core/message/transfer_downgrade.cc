#include "lib/core/message/transfer_downgrade.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/quoted_printable.h"
#include "lib/core/message/ascii_field.h"
#include "lib/core/message/builder.h"
#include "lib/core/message/scan.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

using Piece = DowngradePlan::Piece;

// RFC 2045 §6.8: lines of at most 76 characters, which hold 57 octets.
constexpr uint64_t kLineSource = 57;
constexpr uint64_t kLineBytes = 78;  // with CRLF
// How many lines are encoded at a time: a round 64 KiB of source.
constexpr uint64_t kLinesAtOnce = 1149;

// Base64Bytes is the length of `octets` octets in base64, each line ended by CRLF.
uint64_t Base64Bytes(uint64_t octets) {
  const uint64_t left = octets % kLineSource;
  return octets / kLineSource * kLineBytes + (left == 0 ? 0 : (left + 2) / 3 * 4 + 2);
}

// DeclaredEncoding is the value of a Content-Transfer-Encoding without blanks and comments.
std::string_view DeclaredEncoding(const Header& field) {
  std::string_view value = Trim(field.value);
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
    value = value.substr(1, value.size() - 2);
  return value.substr(0, value.find_first_of(" \t\r\n;("));
}

// IsEncodable tells whether RFC 2045 §6.4 and RFC 2046 §5.2 let a leaf have base64: messages and
// multiparts that could not be read may not, but for the forms of RFC 6533; nor a part of which
// not all was looked at.
bool IsEncodable(const Part& part) {
  if (part.opaque || part.Is("multipart", "")) return false;
  if (!part.Is("message", "")) return true;
  return StartsWithIgnoreCase(part.subtype, "global-");
}

// Downgrader holds what is known while the plan is made.
class Downgrader {
 public:
  Downgrader(std::string_view raw, Carriage carriage, const DowngradeOptions& options)
      : raw_(raw),
        seven_bit_(carriage == Carriage::k7BitLines),
        options_(options),
        view_(ParseMessage(raw, options.parse)),
        fates_(view_.parts().size()) {}

  StatusOr<DowngradePlan> Run() {
    POSTERN_RETURN_IF_ERROR(DecideLeaves());
    NoteEightBit();
    size_t at = 0;
    bool was_protected = false;
    for (size_t i = 0; i < fates_.size(); ++i) {
      const Part& part = view_.part(i);
      const bool is_protected = fates_[i].is_protected;
      CopyText(at, part.header_offset, {.between = true, .fixed = was_protected || is_protected});
      was_protected = is_protected;
      WriteHeader(i);
      at = part.body_offset;
      if (part.kind != PartKind::kLeaf) continue;
      WriteBody(i);
      at = part.end_offset;
    }
    CopyText(at, raw_.size(), {.between = true, .fixed = was_protected});
    if (touched_protected_) return Protected();
    POSTERN_RETURN_IF_ERROR(header_failure_);
    plan_.eight_bit |= fates_[0].eight_bit;
    return std::move(plan_);
  }

 private:
  // Fate is what becomes of a part.
  struct Fate {
    bool is_protected = false;  // inside a multipart/signed or multipart/encrypted
    bool eight_bit = false;     // the part, with all in it, has octets above 0x7F in the result
    std::string_view encoding;  // a leaf that is encoded: the new Content-Transfer-Encoding
    bool literal = false;       // its new body is `body`; otherwise base64 of what stands there
    std::string body;
  };

  // Stretch is what a stretch of lines is.
  struct Stretch {
    bool between = false;  // no header: delimiters, and what stands around parts for nobody
    bool fixed = false;    // a signature may be over it
  };

  static Status Protected() {
    return FailedPrecondition("a signed or encrypted part cannot be carried as it is");
  }

  // Fits tells whether octets with `facts` can be carried as they are.
  bool Fits(const OctetFacts& facts) const {
    return !facts.nul && !facts.bare_cr && !facts.bare_lf && !(seven_bit_ && facts.eight_bit) &&
           facts.longest_line_bytes <= options_.max_line_bytes;
  }

  Status DecideLeaves() {
    for (size_t i = 0; i < fates_.size(); ++i) {
      const Part& part = view_.part(i);
      Fate& fate = fates_[i];
      if (part.parent != kNoPart) {
        const Part& above = view_.part(part.parent);
        fate.is_protected = fates_[part.parent].is_protected || above.Is("multipart", "signed") ||
                            above.Is("multipart", "encrypted");
      }
      if (part.kind == PartKind::kLeaf) POSTERN_RETURN_IF_ERROR(DecideLeaf(i));
    }
    return OkStatus();
  }

  Status DecideLeaf(size_t index) {
    const Part& part = view_.part(index);
    Fate& fate = fates_[index];
    const std::string_view body = view_.BodyBytes(part);
    const OctetFacts facts = Examine(body);
    fate.eight_bit = facts.eight_bit;
    // Whoever sends lines ends the last one: a body that stops short of that would gain a CRLF.
    const bool cut_short = !body.empty() && body.back() != '\n' && part.end_offset == raw_.size();
    if (Fits(facts) && !cut_short) return OkStatus();
    if (fate.is_protected) return Protected();
    if (!IsEncodable(part))
      return FailedPrecondition(StrCat("a part of type ", AsciiLower(part.type), "/",
                                       AsciiLower(part.subtype), " may not be encoded"));
    fate.eight_bit = false;
    fate.encoding = "base64";
    if (part.encoding != TransferEncoding::kIdentity) return Recode(part, fate);
    const bool lines = !facts.nul && !facts.bare_cr && !facts.bare_lf;
    // Text stays readable where it is mostly ASCII.
    if (!lines || !part.Is("text", "") || body.size() > Room() ||
        ChooseEncoding(body, true) == ContentEncoding::kBase64) {
      return OkStatus();
    }
    std::string quoted = mail::QuotedPrintableEncode(body);
    if (cut_short) quoted += "=\r\n";  // RFC 2045 §6.7 rule 5: a line end that is none
    if (quoted.size() > Room()) return OkStatus();
    fate.encoding = "quoted-printable";
    TakeLiteral(fate, std::move(quoted));
    return OkStatus();
  }

  // Recode writes a body anew that says it is encoded, and is not fit to be carried all the same:
  // lines without end, octets that no encoding has.
  Status Recode(const Part& part, Fate& fate) {
    std::string octets;
    if (part.end_offset - part.body_offset <= Room()) {
      (void)DecodeBody(view_, part, octets);
      std::string encoded = mail::Base64EncodeLines(octets);
      if (part.end_offset < raw_.size() && !encoded.empty()) encoded.resize(encoded.size() - 2);
      if (encoded.size() <= Room()) {
        TakeLiteral(fate, std::move(encoded));
        return OkStatus();
      }
    }
    return FailedPrecondition("a part is encoded in a way that cannot be carried");
  }

  size_t Room() const {
    return options_.max_literal_bytes - std::min(options_.max_literal_bytes, literal_bytes_);
  }

  void TakeLiteral(Fate& fate, std::string body) {
    literal_bytes_ += body.size();
    fate.literal = true;
    fate.body = std::move(body);
  }

  // NoteEightBit tells each part what it holds: parts stand before those inside them.
  void NoteEightBit() {
    for (size_t i = fates_.size(); i-- > 0;) {
      const Part& part = view_.part(i);
      const bool own = fates_[i].eight_bit;
      const bool header = !IsAscii(view_.HeaderBytes(part));
      plan_.eight_bit_header |= header;
      // A header is no part of the body that its own encoding field describes, but of those around.
      if (part.parent != kNoPart && (own || (header && !seven_bit_)))
        fates_[part.parent].eight_bit = true;
    }
  }

  void WriteHeader(size_t index) {
    const Part& part = view_.part(index);
    const Fate& fate = fates_[index];
    // What is left of a header besides its fields is for nobody.
    const Stretch stretch{.between = true, .fixed = fate.is_protected};
    const Header* const field = view_.Find(part, Field::kContentTransferEncoding);
    const std::string_view declared =
        field == nullptr ? std::string_view() : DeclaredEncoding(*field);
    std::string_view value = fate.encoding;
    if (value.empty() && !fate.is_protected &&
        (EqualsIgnoreCase(declared, "binary") ||
         (seven_bit_ && !fate.eight_bit && EqualsIgnoreCase(declared, "8bit")))) {
      value = fate.eight_bit ? "8bit" : "7bit";
    }
    size_t at = part.header_offset;
    bool written = false;
    for (const Header& header : view_.headers(part)) {
      const bool encoding = !value.empty() && header.field == Field::kContentTransferEncoding;
      if (!encoding && (!seven_bit_ || IsAscii(header.raw()))) continue;
      const auto begin = static_cast<size_t>(header.raw().data() - raw_.data());
      CopyText(at, begin, stretch);
      at = begin + header.raw().size();
      if (!encoding) {
        WriteAscii(header, fate.is_protected);
        continue;
      }
      if (!written) Literal(StrCat("Content-Transfer-Encoding: ", value, "\r\n"));
      written = true;
    }
    // Past the parser's bounds fields are not listed, and would be spoilt.
    if (seven_bit_ && part.opaque && !IsAscii(raw_.substr(at, part.body_offset - at)))
      header_failure_ = FailedPrecondition("its header is too large to be written in ASCII");
    if (value.empty()) {
      CopyText(at, part.body_offset, stretch);
      return;
    }
    if (!written) {
      CopyText(at, part.header_end_offset, stretch);
      at = part.header_end_offset;
      const bool is_message =
          part.parent == kNoPart || view_.part(part.parent).kind == PartKind::kMessage;
      // RFC 2045 §4: without MIME-Version nobody has to look at the encoding.
      if (is_message && view_.Find(part, Field::kMimeVersion) == nullptr)
        Literal("MIME-Version: 1.0\r\n");
      Literal(StrCat("Content-Transfer-Encoding: ", value, "\r\n"));
    }
    CopyText(at, part.body_offset, stretch);
    // A body that began without an empty line gets one: it would be read as a header now.
    if (part.header_end_offset == part.body_offset && part.end_offset > part.body_offset)
      Literal("\r\n");
  }

  // WriteAscii writes a field that has 8-bit octets anew.
  void WriteAscii(const Header& field, bool is_protected) {
    touched_protected_ |= is_protected;
    std::optional<std::string> text = AsciiField(field);
    if (!text.has_value() && !IsFieldName(field.name)) {
      // No field: a line that stands in the header for nobody.
      const auto begin = static_cast<size_t>(field.raw().data() - raw_.data());
      return CopyText(begin, begin + field.raw().size(), {.between = true, .fixed = is_protected});
    }
    if (!text.has_value()) {
      header_failure_ = FailedPrecondition(
          StrCat("its field ", field.name.substr(0, 80), " cannot be written in ASCII"));
      return;
    }
    if (text->size() > options_.max_field_bytes - field_bytes_) {
      header_failure_ = FailedPrecondition("its header is too large to be written in ASCII");
      return;
    }
    field_bytes_ += text->size();
    Literal(*std::move(text));
  }

  void WriteBody(size_t index) {
    const Part& part = view_.part(index);
    Fate& fate = fates_[index];
    if (fate.encoding.empty()) {
      Copy(part.body_offset, part.end_offset);
      return;
    }
    plan_.changed = true;
    if (fate.literal) {
      Literal(std::move(fate.body));
      return;
    }
    Piece piece;
    piece.kind = Piece::Kind::kBase64;
    piece.source_offset = part.body_offset;
    piece.source_bytes = part.end_offset - part.body_offset;
    piece.bytes = Base64Bytes(piece.source_bytes);
    // The CRLF in front of a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
    if (part.end_offset < raw_.size()) piece.bytes -= 2;
    Add(std::move(piece));
  }

  // CopyText writes a stretch that is read as lines. Its line ends become CRLF, as every reader
  // takes them; NUL and a CR alone become blanks. What is for nobody may lose its 8-bit octets.
  void CopyText(size_t begin, size_t end, Stretch stretch) {
    if (begin >= end) return;
    const std::string_view text = raw_.substr(begin, end - begin);
    const OctetFacts facts = Examine(text);
    const bool to_ascii = stretch.between && seven_bit_ && facts.eight_bit;
    plan_.eight_bit |= facts.eight_bit && !to_ascii;
    if (!facts.nul && !facts.bare_cr && !facts.bare_lf && !to_ascii) {
      Copy(begin, end);
      return;
    }
    touched_protected_ |= stretch.fixed;
    std::string fixed;
    fixed.reserve(text.size() + facts.lf_count);
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      const bool crlf = c == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
      if (crlf) continue;  // the LF writes both
      if (c == '\n') {
        fixed += "\r\n";
      } else if (c == '\r' || c == '\0') {
        fixed.push_back(' ');
      } else {
        fixed.push_back(to_ascii && !IsAscii(c) ? '?' : c);
      }
    }
    Literal(std::move(fixed));
  }

  void Copy(size_t begin, size_t end) {
    if (begin >= end) return;
    if (!plan_.pieces.empty()) {
      Piece& last = plan_.pieces.back();
      if (last.kind == Piece::Kind::kCopy && last.source_offset + last.source_bytes == begin) {
        last.source_bytes += end - begin;
        last.bytes += end - begin;
        plan_.size_bytes += end - begin;
        return;
      }
    }
    Piece piece;
    piece.source_offset = begin;
    piece.source_bytes = piece.bytes = end - begin;
    Add(std::move(piece));
  }

  void Literal(std::string text) {
    plan_.changed = true;
    Piece piece;
    piece.kind = Piece::Kind::kLiteral;
    piece.bytes = text.size();
    piece.text = std::move(text);
    Add(std::move(piece));
  }

  void Add(Piece piece) {
    if (piece.bytes == 0) return;
    piece.offset = plan_.size_bytes;
    plan_.size_bytes += piece.bytes;
    plan_.pieces.push_back(std::move(piece));
  }

  const std::string_view raw_;
  const bool seven_bit_;
  const DowngradeOptions& options_;
  const MessageView view_;
  std::vector<Fate> fates_;
  size_t literal_bytes_ = 0;
  size_t field_bytes_ = 0;  // of fields written anew
  bool touched_protected_ = false;
  Status header_failure_;
  DowngradePlan plan_;
};

// ReadBase64 fills `into` from octet `from` of the piece's text on. Whole lines are encoded, so it
// begins with the line that octet stands in.
StatusOr<size_t> ReadBase64(const Piece& piece, uint64_t from, std::span<char> into,
                            const SourceReader& read) {
  const uint64_t first_line = from / kLineBytes;
  const uint64_t skip = from % kLineBytes;
  const uint64_t wanted_lines =
      std::min<uint64_t>((skip + into.size() + kLineBytes - 1) / kLineBytes, kLinesAtOnce);
  const uint64_t source = first_line * kLineSource;
  std::string octets(std::min(piece.source_bytes - source, wanted_lines * kLineSource), '\0');
  size_t have = 0;
  while (have < octets.size()) {
    const StatusOr<size_t> got =
        read(piece.source_offset + source + have, std::span<char>(octets).subspan(have));
    if (!got.ok()) return got.status();
    if (*got == 0) return DataLoss("the message is shorter than it was");
    have += *got;
  }
  const std::string lines = mail::Base64EncodeLines(octets);
  const uint64_t left = piece.bytes - from;
  const size_t n =
      static_cast<size_t>(std::min<uint64_t>({lines.size() - skip, into.size(), left}));
  std::memcpy(into.data(), lines.data() + skip, n);
  return n;
}

}  // namespace

StatusOr<DowngradePlan> PlanDowngrade(std::string_view raw, Carriage carriage,
                                      const DowngradeOptions& options) {
  return Downgrader(raw, carriage, options).Run();
}

StatusOr<size_t> ReadDowngraded(const DowngradePlan& plan, uint64_t offset, std::span<char> into,
                                const SourceReader& read) {
  auto piece = std::upper_bound(plan.pieces.begin(), plan.pieces.end(), offset,
                                [](uint64_t at, const Piece& p) { return at < p.offset; });
  if (piece != plan.pieces.begin()) --piece;
  size_t filled = 0;
  while (filled < into.size() && piece != plan.pieces.end()) {
    const uint64_t inside = offset + filled - piece->offset;
    if (inside >= piece->bytes) {
      ++piece;
      continue;
    }
    const std::span<char> rest = into.subspan(filled);
    const auto n = static_cast<size_t>(std::min<uint64_t>(rest.size(), piece->bytes - inside));
    StatusOr<size_t> got = n;
    switch (piece->kind) {
      case Piece::Kind::kLiteral: std::memcpy(rest.data(), piece->text.data() + inside, n); break;
      case Piece::Kind::kCopy: got = read(piece->source_offset + inside, rest.first(n)); break;
      case Piece::Kind::kBase64: got = ReadBase64(*piece, inside, rest.first(n), read); break;
    }
    if (!got.ok()) return got;
    if (*got == 0) return DataLoss("the message is shorter than it was");
    filled += *got;
  }
  return filled;
}

std::string Downgraded(const DowngradePlan& plan, std::string_view raw) {
  std::string out(plan.size_bytes, '\0');
  const StatusOr<size_t> got = ReadDowngraded(
      plan, 0, out, [raw](uint64_t offset, std::span<char> into) -> StatusOr<size_t> {
        if (offset >= raw.size()) return size_t{0};
        const size_t n = std::min<size_t>(into.size(), raw.size() - offset);
        std::memcpy(into.data(), raw.data() + offset, n);
        return n;
      });
  out.resize(got.value_or(0));
  return out;
}

}  // namespace postern::message
