#include "lib/core/message/imap_section.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::message {
namespace {

constexpr size_t kMaxNumbers = 100;
constexpr size_t kMaxFields = 1'000;

// Place is a part as a number path reaches it: `as_message` when it is the root of a message, whose
// part 1 may be itself.
struct Place {
  uint32_t index = 0;
  bool as_message = true;
};

// Step goes to part `number` below `place`.
StatusOr<Place> Step(const MessageView& message, Place place, uint32_t number) {
  const Part* part = &message.part(place.index);
  if (!place.as_message && part->kind == PartKind::kMessage) {
    place = {part->first_child, true};
    part = &message.part(place.index);
  }
  if (number == 0) return NotFound("part numbers begin with 1");
  if (part->kind == PartKind::kMultipart && part->child_count > 0) {
    const uint32_t child = message.Child(*part, number - 1);
    if (child == kNoPart) return NotFound("there is no such part");
    return Place{child, false};
  }
  // RFC 3501 §6.4.5: "Every message has at least one part number": that of a message without parts
  // is 1.
  if (!place.as_message || number != 1) return NotFound("there is no such part");
  return Place{place.index, false};
}

StatusOr<Place> Walk(const MessageView& message, const std::vector<uint32_t>& numbers) {
  Place place;
  for (const uint32_t number : numbers) {
    StatusOr<Place> next = Step(message, place, number);
    if (!next.ok()) return next.status();
    place = *next;
  }
  return place;
}

void Push(SectionRange& range, std::string_view piece) {
  if (piece.empty()) return;
  // Fields that stand together are one piece.
  if (!range.pieces.empty() &&
      range.pieces.back().data() + range.pieces.back().size() == piece.data()) {
    range.pieces.back() =
        std::string_view(range.pieces.back().data(), range.pieces.back().size() + piece.size());
  } else {
    range.pieces.push_back(piece);
  }
}

bool IsAtom(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiPrintable(c) && std::string_view(" (){%*\"\\]").find(c) == std::string_view::npos;
  });
}

}  // namespace

std::string SectionSpec::ToString() const {
  std::string out;
  for (const uint32_t number : part) StrAppend(out, out.empty() ? "" : ".", number);
  if (text != Text::kNone && !out.empty()) out += '.';
  switch (text) {
    case Text::kNone: return out;
    case Text::kHeader: return out + "HEADER";
    case Text::kText: return out + "TEXT";
    case Text::kMime: return out + "MIME";
    case Text::kHeaderFields: out += "HEADER.FIELDS ("; break;
    case Text::kHeaderFieldsNot: out += "HEADER.FIELDS.NOT ("; break;
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ' ';
    if (IsAtom(fields[i])) {
      out += fields[i];
      continue;
    }
    out += '"';
    for (const char c : fields[i]) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + ")";
}

StatusOr<SectionSpec> ParseSection(std::string_view text) {
  SectionSpec spec;
  while (!text.empty() && IsAsciiDigit(text[0])) {
    const size_t dot = text.find('.');
    const std::optional<uint64_t> number = ParseUint(text.substr(0, dot), UINT32_MAX);
    if (!number.has_value() || *number == 0)
      return InvalidArgument("a part number is not a number from 1 on");
    if (spec.part.size() == kMaxNumbers) return InvalidArgument("there are too many part numbers");
    spec.part.push_back(static_cast<uint32_t>(*number));
    if (dot == std::string_view::npos) return spec;
    text.remove_prefix(dot + 1);
    if (text.empty()) return InvalidArgument("a part number is missing behind \".\"");
  }
  if (text.empty()) return spec;
  if (EqualsIgnoreCase(text, "HEADER")) {
    spec.text = SectionSpec::Text::kHeader;
  } else if (EqualsIgnoreCase(text, "TEXT")) {
    spec.text = SectionSpec::Text::kText;
  } else if (EqualsIgnoreCase(text, "MIME")) {
    if (spec.part.empty()) return InvalidArgument("MIME wants a part number");
    spec.text = SectionSpec::Text::kMime;
  } else if (StartsWithIgnoreCase(text, "HEADER.FIELDS")) {
    text.remove_prefix(std::string_view("HEADER.FIELDS").size());
    spec.text = SectionSpec::Text::kHeaderFields;
    if (StartsWithIgnoreCase(text, ".NOT")) {
      text.remove_prefix(4);
      spec.text = SectionSpec::Text::kHeaderFieldsNot;
    }
    if (text.size() < 4 || text.substr(0, 2) != " (" || text.back() != ')')
      return InvalidArgument("a list of fields is missing");
    text = text.substr(2, text.size() - 3);
    while (true) {
      std::string name;
      if (!text.empty() && text[0] == '"') {
        size_t i = 1;
        for (; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\' && i + 1 < text.size()) ++i;
          name.push_back(text[i]);
        }
        if (i >= text.size()) return InvalidArgument("a quoted field name is not closed");
        text.remove_prefix(i + 1);
      } else {
        const std::string_view atom = text.substr(0, text.find(' '));
        if (!IsAtom(atom)) return InvalidArgument("a field name is malformed");
        name = std::string(atom);
        text.remove_prefix(atom.size());
      }
      if (spec.fields.size() == kMaxFields)
        return InvalidArgument("there are too many field names");
      spec.fields.push_back(std::move(name));
      if (text.empty()) break;
      if (text[0] != ' ') return InvalidArgument("a blank is missing between field names");
      text.remove_prefix(1);
    }
  } else {
    return InvalidArgument("it is not a section");
  }
  return spec;
}

size_t SectionRange::size() const {
  size_t total = 0;
  for (const std::string_view piece : pieces) total += piece.size();
  return total;
}

void SectionRange::Append(std::string& out, size_t offset, size_t max_bytes) const {
  for (std::string_view piece : pieces) {
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    piece.remove_prefix(offset);
    offset = 0;
    piece = piece.substr(0, max_bytes);
    out.append(piece);
    max_bytes -= piece.size();
    if (max_bytes == 0) return;
  }
}

std::string SectionRange::ToString() const {
  std::string out;
  Append(out);
  return out;
}

StatusOr<SectionRange> FindSection(const MessageView& message, const SectionSpec& section) {
  using Text = SectionSpec::Text;
  StatusOr<Place> place = Walk(message, section.part);
  if (!place.ok()) return place.status();
  const Part* part = &message.part(place->index);
  SectionRange range;
  if (section.text == Text::kNone) {
    Push(range, section.part.empty() ? message.raw() : message.BodyBytes(*part));
    return range;
  }
  if (section.text == Text::kMime) {
    if (section.part.empty()) return InvalidArgument("MIME wants a part number");
    Push(range, message.HeaderBytes(*part));
    return range;
  }
  // HEADER and TEXT are those of a message: behind numbers only of a message/rfc822.
  if (!place->as_message) {
    if (part->kind != PartKind::kMessage) return NotFound("the part is not a message");
    part = &message.part(part->first_child);
  }
  if (section.text == Text::kText) {
    Push(range, message.BodyBytes(*part));
    return range;
  }
  if (section.text == Text::kHeader) {
    Push(range, message.HeaderBytes(*part));
    return range;
  }
  // A sorted list makes many names against many fields cheap.
  std::vector<std::string> wanted;
  for (const std::string& field : section.fields) wanted.push_back(AsciiLower(field));
  std::sort(wanted.begin(), wanted.end());
  const bool take_listed = section.text == Text::kHeaderFields;
  for (const Header& header : message.headers(*part)) {
    const bool listed = std::binary_search(wanted.begin(), wanted.end(), AsciiLower(header.name));
    if (listed == take_listed) Push(range, header.raw());
  }
  // RFC 3501 §6.4.5: the empty line belongs to every header section.
  Push(range, message.Octets(*part).substr(part->header_end_offset,
                                           part->body_offset - part->header_end_offset));
  return range;
}

StatusOr<uint32_t> FindPart(const MessageView& message, const std::vector<uint32_t>& numbers) {
  StatusOr<Place> place = Walk(message, numbers);
  if (!place.ok()) return place.status();
  return place->index;
}

}  // namespace postern::message
