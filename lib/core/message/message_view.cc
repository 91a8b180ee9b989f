// What can be asked of a parsed message.
#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/message/parser.h"

namespace postern::message {

bool Part::Is(std::string_view wanted_type, std::string_view wanted_subtype) const {
  return EqualsIgnoreCase(type, wanted_type) &&
         (wanted_subtype.empty() || EqualsIgnoreCase(subtype, wanted_subtype));
}

bool MessageView::HasDefect(Defect defect) const {
  return std::any_of(defects_.begin(), defects_.end(),
                     [&](const DefectAt& d) { return d.defect == defect; });
}

const Header* MessageView::Find(const Part& part, Field field) const {
  for (const Header& header : headers(part)) {
    if (header.field == field) return &header;
  }
  return nullptr;
}

const Header* MessageView::Find(const Part& part, std::string_view name) const {
  for (const Header& header : headers(part)) {
    if (header.name.size() == name.size() && EqualsIgnoreCase(header.name, name)) return &header;
  }
  return nullptr;
}

const Header* MessageView::FindLast(const Part& part, Field field) const {
  const Header* last = nullptr;
  for (const Header& header : headers(part)) {
    if (header.field == field) last = &header;
  }
  return last;
}

size_t MessageView::OffsetInRaw(const Part& part) const {
  const Part* at = &part;
  while (at->source != 0) at = &parts_[at->parent];
  return at->header_offset;
}

uint32_t MessageView::Child(const Part& part, uint32_t number) const {
  if (number >= part.child_count) return kNoPart;
  uint32_t index = part.first_child;
  while (number-- > 0) index = parts_[index].next_sibling;
  return index;
}

std::string_view DefectName(Defect defect) {
  switch (defect) {
    case Defect::kNone: return "none";
    case Defect::kDepthLimit: return "depth_limit";
    case Defect::kPartLimit: return "part_limit";
    case Defect::kHeaderCountLimit: return "header_count_limit";
    case Defect::kHeaderSizeLimit: return "header_size_limit";
    case Defect::kMboxFromLine: return "mbox_from_line";
    case Defect::kMalformedHeaderLine: return "malformed_header_line";
    case Defect::kMissingHeaderEnd: return "missing_header_end";
    case Defect::kBareCrInHeader: return "bare_cr_in_header";
    case Defect::kNulInHeader: return "nul_in_header";
    case Defect::kInvalidUtf8InHeader: return "invalid_utf8_in_header";
    case Defect::kBadContentType: return "bad_content_type";
    case Defect::kMultipartNoBoundary: return "multipart_no_boundary";
    case Defect::kMultipartNoParts: return "multipart_no_parts";
    case Defect::kMissingCloseDelimiter: return "missing_close_delimiter";
    case Defect::kEncodedMultipart: return "encoded_multipart";
    case Defect::kLeadingEmptyLine: return "leading_empty_line";
    case Defect::kEncodedMessage: return "encoded_message";
    case Defect::kUnknownEncoding: return "unknown_encoding";
    case Defect::kBadEncodedBody: return "bad_encoded_body";
    case Defect::kUnknownCharset: return "unknown_charset";
    case Defect::kBadCharsetOctets: return "bad_charset_octets";
    case Defect::kRepeatedField: return "repeated_field";
    case Defect::kBadDate: return "bad_date";
    case Defect::kMissingComma: return "missing_comma";
    case Defect::kBadAddress: return "bad_address";
    case Defect::kBadEncodedWord: return "bad_encoded_word";
    case Defect::kBadParameter: return "bad_parameter";
    case Defect::kBlankBeforeColon: return "blank_before_colon";
    case Defect::kLongLine: return "long_line";
    case Defect::kBareLf: return "bare_lf";
    case Defect::kBareCrInBody: return "bare_cr_in_body";
    case Defect::kNulInBody: return "nul_in_body";
    case Defect::kUndeclaredEightBit: return "undeclared_8bit";
  }
  return "unknown";
}

}  // namespace postern::message
