#include "lib/core/message/defects.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/address_list.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/encoded_word.h"

namespace postern::message {
namespace {

constexpr size_t kNone = std::string_view::npos;
constexpr size_t kMaxLineBytes = 998;  // RFC 5322 §2.1.1

// Collector keeps the first defects.
class Collector {
 public:
  Collector(const MessageView& message, size_t most) : message_(message), most_(most) {}

  void Note(Defect defect, size_t part, size_t offset) {
    if (list_.size() < most_) list_.push_back({defect, static_cast<uint32_t>(part), offset});
  }
  // NoteAt is for a place in octets of the message; npos: there is nothing to note.
  void NoteAt(Defect defect, size_t part, std::string_view octets, size_t place) {
    if (place != kNone) Note(defect, part, OffsetOf(octets) + place);
  }
  size_t OffsetOf(std::string_view octets) const {
    return static_cast<size_t>(octets.data() - message_.raw().data());
  }
  std::vector<DefectAt> Take() { return std::move(list_); }
  bool full() const { return list_.size() >= most_; }

 private:
  const MessageView& message_;
  size_t most_;
  std::vector<DefectAt> list_;
};

// EndsLinesWithCrlf tells whether a bare LF is odd in this message.
bool EndsLinesWithCrlf(std::string_view raw) {
  const size_t lf = raw.find('\n');
  return lf != kNone && lf > 0 && raw[lf - 1] == '\r';
}

// LineFaults is where lines first go wrong.
struct LineFaults {
  size_t bare_cr = kNone;
  size_t bare_lf = kNone;
  size_t long_line = kNone;  // where the line begins
};

LineFaults ReadLines(std::string_view text) {
  LineFaults faults;
  const auto first = [](size_t* place, size_t here) { *place = std::min(*place, here); };
  for (size_t at = 0; at < text.size();) {
    const size_t lf = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, lf - at);
    if (!line.empty() && line.back() == '\r' && lf < text.size()) {
      line.remove_suffix(1);
    } else if (lf < text.size()) {
      first(&faults.bare_lf, lf);
    }
    if (line.size() > kMaxLineBytes) first(&faults.long_line, at);
    if (faults.bare_cr == kNone) {
      const size_t cr = line.find('\r');
      // A CR at the very end may belong to the LF behind the text.
      if (cr != kNone && at + cr + 1 < text.size()) faults.bare_cr = at + cr;
    }
    at = lf + 1;
  }
  return faults;
}

// MayStandOnce tells of a field whether a second one is a defect: of an entity (RFC 2045 §3), and
// of a message (RFC 5322 §3.6).
bool MayStandOnce(Field field, bool is_message) {
  switch (field) {
    case Field::kContentType:
    case Field::kContentTransferEncoding:
    case Field::kContentDisposition:
    case Field::kContentId:
    case Field::kContentDescription: return true;
    case Field::kMimeVersion:
    case Field::kDate:
    case Field::kFrom:
    case Field::kSender:
    case Field::kReplyTo:
    case Field::kTo:
    case Field::kCc:
    case Field::kBcc:
    case Field::kMessageId:
    case Field::kInReplyTo:
    case Field::kReferences:
    case Field::kSubject: return is_message;
    default: return false;
  }
}

bool IsAddressField(Field field) {
  return field == Field::kFrom || field == Field::kSender || field == Field::kReplyTo ||
         field == Field::kTo || field == Field::kCc || field == Field::kBcc ||
         field == Field::kResentFrom;
}

void ReadParameters(const Header& header, size_t part, Collector& found) {
  std::string_view type, subtype, rest;
  if (!ScanMediaType(header.value, &type, &subtype, &rest)) {
    // Of Content-Type the parser tells it.
    if (header.field == Field::kContentDisposition)
      found.Note(Defect::kBadParameter, part, found.OffsetOf(header.name));
    return;
  }
  ParameterDefects defects;
  ParseParameters(rest, &defects);
  if (defects.malformed) found.Note(Defect::kBadParameter, part, found.OffsetOf(header.name));
  if (defects.unknown_charset)
    found.Note(Defect::kUnknownCharset, part, found.OffsetOf(header.name));
}

// IsCredibleDate: RFC 5322 §3.3 has no years before 1900.
bool IsCredibleDate(std::string_view value) {
  const StatusOr<mail::MailDate> date = mail::ParseDate(value);
  constexpr int64_t kDayOf1900 = -25'567;  // 1 January 1900 in days since 1970
  return date.ok() && date->LocalDay() >= kDayOf1900;
}

void ReadField(const MessageView& message, const Header& header, size_t part, Collector& found) {
  const size_t offset = found.OffsetOf(header.name);
  const size_t name_end = offset + header.name.size();
  if (!header.name.empty() && name_end < message.raw().size() && message.raw()[name_end] != ':')
    found.Note(Defect::kBlankBeforeColon, part, name_end);
  if ((header.field == Field::kDate || header.field == Field::kResentDate) &&
      !IsCredibleDate(header.value)) {
    found.Note(Defect::kBadDate, part, offset);
  }
  if (IsAddressField(header.field)) {
    AddressListDefects defects;
    ParseAddressList(header.value, &defects);
    found.NoteAt(Defect::kMissingComma, part, header.value, defects.missing_comma);
    found.NoteAt(Defect::kBadAddress, part, header.value, defects.malformed);
  }
  if (header.field == Field::kContentType || header.field == Field::kContentDisposition)
    ReadParameters(header, part, found);
  if (header.value.find("=?") != kNone) {
    EncodedWordDefects defects;
    DecodeText(header.value, &defects);
    if (defects.malformed) found.Note(Defect::kBadEncodedWord, part, offset);
    if (defects.unknown_charset) found.Note(Defect::kUnknownCharset, part, offset);
  }
}

// Rules is what the Content-Transfer-Encoding of a leaf allows.
struct Rules {
  bool eight_bit = false;
  bool anything = false;
};

Rules RulesOf(const MessageView& message, const Part& part) {
  const Header* header = message.Find(part, Field::kContentTransferEncoding);
  if (header == nullptr) return {};
  const std::string_view value = Trim(header->value.substr(SkipCfws(header->value, 0)));
  if (EqualsIgnoreCase(value, "8bit")) return {true, false};
  const bool known = part.encoding != TransferEncoding::kIdentity ||
                     StartsWithIgnoreCase(value, "7bit") || StartsWithIgnoreCase(value, "8bit");
  // RFC 2045 §6.4: what nobody knows is taken for octets.
  return {StartsWithIgnoreCase(value, "8bit"), !known};
}

}  // namespace

std::vector<DefectAt> FieldDefects(const MessageView& message, size_t max_defects) {
  Collector found(message, max_defects);
  const bool crlf = EndsLinesWithCrlf(message.raw());
  for (size_t i = 0; i < message.parts().size() && !found.full(); ++i) {
    const Part& part = message.part(i);
    if (part.source != 0) continue;  // its octets were not on the way
    const bool is_message =
        part.parent == kNoPart || message.part(part.parent).kind == PartKind::kMessage;
    uint64_t seen = 0;
    for (const Header& header : message.headers(part)) {
      const uint64_t bit = uint64_t{1} << static_cast<unsigned>(header.field);
      if ((seen & bit) != 0 && MayStandOnce(header.field, is_message))
        found.Note(Defect::kRepeatedField, i, found.OffsetOf(header.name));
      seen |= bit;
      ReadField(message, header, i, found);
    }
    const std::string_view octets = message.HeaderBytes(part);
    const LineFaults lines = ReadLines(octets);
    found.NoteAt(Defect::kLongLine, i, octets, lines.long_line);
    if (crlf) found.NoteAt(Defect::kBareLf, i, octets, lines.bare_lf);
  }
  return found.Take();
}

std::vector<DefectAt> OctetDefects(const MessageView& message, size_t max_defects) {
  Collector found(message, max_defects);
  const bool crlf = EndsLinesWithCrlf(message.raw());
  for (size_t i = 0; i < message.parts().size() && !found.full(); ++i) {
    const Part& part = message.part(i);
    if (part.kind != PartKind::kLeaf || part.source != 0) continue;
    const Rules rules = RulesOf(message, part);
    if (rules.anything) continue;
    const std::string_view octets = message.BodyBytes(part);
    if (!rules.eight_bit && !IsAscii(octets)) {
      const auto high =
          std::find_if(octets.begin(), octets.end(), [](char c) { return !IsAscii(c); });
      found.NoteAt(Defect::kUndeclaredEightBit, i, octets,
                   static_cast<size_t>(high - octets.begin()));
    }
    found.NoteAt(Defect::kNulInBody, i, octets, octets.find('\0'));
    const LineFaults lines = ReadLines(octets);
    found.NoteAt(Defect::kBareCrInBody, i, octets, lines.bare_cr);
    if (crlf) found.NoteAt(Defect::kBareLf, i, octets, lines.bare_lf);
    found.NoteAt(Defect::kLongLine, i, octets, lines.long_line);
  }
  return found.Take();
}

}  // namespace postern::message
