// A message taken apart, as the C API holds it.
#pragma once

#include "postern/message.h"
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/core/message/parser.h"

namespace postern::capi {

// PartTexts is what is lent of a part; it is made when it is first asked for.
struct PartTexts {
  std::string type;
  std::string subtype;
  std::string charset;
  std::string disposition;
  std::string file_name;
  std::string content_id;
};

// ParsedMessage is shared by the handle and the readers made of it.
struct ParsedMessage {
  std::string owned;  // empty for borrowed octets
  message::MessageView view;
  mutable std::vector<std::unique_ptr<PartTexts>> part_texts;    // by part
  mutable std::vector<std::optional<std::string>> header_texts;  // by field
  mutable std::optional<std::vector<message::DefectAt>> defects;

  const PartTexts& TextsOf(size_t part) const;
  const std::string& TextOfHeader(size_t header) const;
  // Defects are those of the parse, then those of fields, octets and decoded bodies.
  const std::vector<message::DefectAt>& Defects() const;
};

// ParsedJson writes the tree as postern_parsed_json does.
std::string ParsedJson(const ParsedMessage& parsed, bool with_text);

// NoticeJson writes what postern_parsed_notice_json does; "" for a message that is no notice.
std::string NoticeJson(const ParsedMessage& parsed);

// PlainBody is the text of a part for people: UTF-8, HTML made plain, flowed lines joined.
std::string PlainBody(const ParsedMessage& parsed, size_t part);

}  // namespace postern::capi

struct postern_parsed {
  std::shared_ptr<postern::capi::ParsedMessage> message;
};
