#include "lib/capi/parsed_capi.h"

#include "lib/capi/address_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/defects.h"
#include "lib/core/message/encoded_message.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/flowed.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/text.h"

namespace postern::capi {

namespace message = postern::message;

const PartTexts& ParsedMessage::TextsOf(size_t index) const {
  part_texts.resize(view.parts().size());
  std::unique_ptr<PartTexts>& texts = part_texts[index];
  if (texts != nullptr) return *texts;
  auto made = std::make_unique<PartTexts>();
  const message::Part& part = view.part(index);
  made->type = AsciiLower(part.type);
  made->subtype = AsciiLower(part.subtype);
  if (const message::Header* field = view.Find(part, message::Field::kContentDisposition)) {
    const message::ContentDisposition disposition = message::ParseContentDisposition(field->value);
    made->disposition = disposition.kind;
    if (const std::string* name = disposition.parameters.Find("filename")) made->file_name = *name;
  }
  if (const message::Header* field = view.Find(part, message::Field::kContentType)) {
    const message::ContentType type = message::ParseContentType(field->value);
    if (const std::string* charset = type.parameters.Find("charset")) made->charset = *charset;
    if (const std::string* name = type.parameters.Find("name"); name && made->file_name.empty())
      made->file_name = *name;
  }
  if (const message::Header* field = view.Find(part, message::Field::kContentId))
    made->content_id = message::Unfold(field->value);
  texts = std::move(made);
  return *texts;
}

const std::string& ParsedMessage::TextOfHeader(size_t header) const {
  header_texts.resize(view.all_headers().size());
  std::optional<std::string>& text = header_texts[header];
  if (!text.has_value()) text = message::DecodeText(view.all_headers()[header].value);
  return *text;
}

const std::vector<message::DefectAt>& ParsedMessage::Defects() const {
  if (!defects.has_value()) {
    std::vector<message::DefectAt> all = view.defects();
    for (const auto& more :
         {message::FieldDefects(view), message::OctetDefects(view), message::ContentDefects(view)})
      all.insert(all.end(), more.begin(), more.end());
    defects = std::move(all);
  }
  return *defects;
}

std::string PlainBody(const ParsedMessage& parsed, size_t index) {
  const message::Part& part = parsed.view.part(index);
  std::string text = message::DecodeBodyText(parsed.view, part);
  if (part.Is("text", "html")) return message::HtmlToText(text);
  if (!part.Is("text", "plain")) return text;
  const message::Header* field = parsed.view.Find(part, message::Field::kContentType);
  if (field == nullptr) return text;
  const message::ContentType type = message::ParseContentType(field->value);
  const std::string* format = type.parameters.Find("format");
  if (format == nullptr || !EqualsIgnoreCase(*format, "flowed")) return text;
  const std::string* delsp = type.parameters.Find("delsp");
  return message::UnflowText(text, delsp != nullptr && EqualsIgnoreCase(*delsp, "yes"));
}

namespace {

postern_status NewParsed(postern_parsed** out, const char* octets, size_t len, bool copy,
                         const postern_parse_options* given, postern_error** out_error) {
  if (out == nullptr)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
  *out = nullptr;
  if (octets == nullptr && len > 0)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "octets is NULL");
  postern_parse_options options;
  if (!TakeStruct(&options, postern_parse_options POSTERN_PARSE_OPTIONS_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "the option struct has a size of 0, or sets a field that this version of the "
                "library does not know");
  }
  message::ParseOptions bounds;
  // Depths are kept in sixteen bits.
  if (options.max_depth != 0) bounds.max_depth = std::min<size_t>(options.max_depth, 10'000);
  if (options.max_parts != 0) bounds.max_parts = std::min<size_t>(options.max_parts, 1 << 30);
  if (options.max_headers != 0) bounds.max_headers = std::min<size_t>(options.max_headers, 1 << 30);
  if (options.max_header_bytes != 0) bounds.max_header_bytes = options.max_header_bytes;
  auto handle = std::make_unique<postern_parsed>();
  handle->message = std::make_shared<ParsedMessage>();
  std::string_view raw(octets, len);
  if (copy) {
    handle->message->owned.assign(raw);
    raw = handle->message->owned;
  }
  handle->message->view = message::ParseMessage(raw, bounds);
  message::OpenEncodedMessages(&handle->message->view, bounds);
  *out = handle.release();
  return POSTERN_OK;
}

const message::MessageView* ViewOf(const postern_parsed* parsed) {
  return parsed == nullptr ? nullptr : &parsed->message->view;
}

bool HasPart(const postern_parsed* parsed, size_t part) {
  return parsed != nullptr && part < parsed->message->view.parts().size();
}

}  // namespace
}  // namespace postern::capi

struct postern_body_reader {
  std::shared_ptr<const postern::capi::ParsedMessage> message;
  postern::message::BodyReader reader;
};

using namespace postern::capi;  // NOLINT: every name below is one of theirs

extern "C" {

postern_status postern_parsed_new(postern_parsed** out, const char* octets, size_t len,
                                  const postern_parse_options* options, postern_error** out_error) {
  return Guard(out_error, [&] { return NewParsed(out, octets, len, true, options, out_error); });
}

postern_status postern_parsed_new_borrow(postern_parsed** out, const char* octets, size_t len,
                                         const postern_parse_options* options,
                                         postern_error** out_error) {
  return Guard(out_error, [&] { return NewParsed(out, octets, len, false, options, out_error); });
}

void postern_parsed_free(postern_parsed* parsed) { delete parsed; }

postern_str postern_parsed_octets(const postern_parsed* parsed) {
  return parsed == nullptr ? postern_str{nullptr, 0} : Lend(ViewOf(parsed)->raw());
}

size_t postern_parsed_part_count(const postern_parsed* parsed) {
  return parsed == nullptr ? 0 : ViewOf(parsed)->parts().size();
}

postern_status postern_parsed_part(postern_part* out, const postern_parsed* parsed, size_t index) {
  if (!HasPart(parsed, index)) return POSTERN_ERR_NOT_FOUND;
  return Guard(nullptr, [&]() -> postern_status {
    const postern::message::Part& part = ViewOf(parsed)->part(index);
    const PartTexts& texts = parsed->message->TextsOf(index);
    postern_part filled{};
    filled.parent = part.parent == postern::message::kNoPart ? POSTERN_NO_PART : part.parent;
    filled.depth = part.depth;
    filled.child_count = part.child_count;
    filled.kind = static_cast<int32_t>(part.kind);
    filled.encoding = static_cast<int32_t>(part.encoding);
    filled.is_opaque = part.opaque ? 1 : 0;
    filled.header_offset = part.header_offset;
    filled.body_offset = part.body_offset;
    filled.end_offset = part.end_offset;
    filled.type = Lend(texts.type);
    filled.subtype = Lend(texts.subtype);
    filled.charset = Lend(texts.charset);
    filled.disposition = Lend(texts.disposition);
    filled.file_name = Lend(texts.file_name);
    filled.content_id = Lend(texts.content_id);
    return GiveStruct(out, filled) ? POSTERN_OK : POSTERN_ERR_INVALID_ARGUMENT;
  });
}

size_t postern_parsed_header_count(const postern_parsed* parsed, size_t part) {
  return HasPart(parsed, part) ? ViewOf(parsed)->part(part).header_count : 0;
}

postern_status postern_parsed_header(postern_header* out, const postern_parsed* parsed, size_t part,
                                     size_t index) {
  if (index >= postern_parsed_header_count(parsed, part)) return POSTERN_ERR_NOT_FOUND;
  return Guard(nullptr, [&]() -> postern_status {
    const size_t number = ViewOf(parsed)->part(part).first_header + index;
    const postern::message::Header& field = ViewOf(parsed)->all_headers()[number];
    postern_header filled{};
    filled.name = Lend(field.name);
    filled.value = Lend(field.value);
    filled.text = Lend(parsed->message->TextOfHeader(number));
    return GiveStruct(out, filled) ? POSTERN_OK : POSTERN_ERR_INVALID_ARGUMENT;
  });
}

postern_str postern_parsed_find(const postern_parsed* parsed, size_t part, const char* name) {
  postern_str found{nullptr, 0};
  if (!HasPart(parsed, part) || name == nullptr) return found;
  (void)Guard(nullptr, [&]() -> postern_status {
    const auto* field = ViewOf(parsed)->Find(ViewOf(parsed)->part(part), std::string_view(name));
    if (field == nullptr) return POSTERN_OK;
    const auto number = static_cast<size_t>(field - ViewOf(parsed)->all_headers().data());
    found = Lend(parsed->message->TextOfHeader(number));
    return POSTERN_OK;
  });
  return found;
}

postern_status postern_parsed_date(int64_t* out_unix_s, int32_t* out_offset_minutes,
                                   const postern_parsed* parsed) {
  if (parsed == nullptr) return POSTERN_ERR_INVALID_ARGUMENT;
  return Guard(nullptr, [&]() -> postern_status {
    const postern::message::MessageView& view = *ViewOf(parsed);
    const auto* field = view.Find(view.root(), postern::message::Field::kDate);
    if (field == nullptr) return POSTERN_ERR_NOT_FOUND;
    const auto date = postern::mail::ParseDate(field->value);
    if (!date.ok()) return POSTERN_ERR_PROTOCOL;
    if (out_unix_s != nullptr) *out_unix_s = absl::ToUnixSeconds(date->time);
    if (out_offset_minutes != nullptr) *out_offset_minutes = date->offset_minutes;
    return POSTERN_OK;
  });
}

postern_status postern_parsed_addresses(postern_address_list** out, const postern_parsed* parsed,
                                        size_t part, const char* name, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || name == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out or name is NULL");
    *out = nullptr;
    if (!HasPart(parsed, part))
      return Fail(out_error, POSTERN_ERR_NOT_FOUND, "part", "there is no such part");
    auto list = std::make_unique<postern_address_list>();
    const postern::message::MessageView& view = *ViewOf(parsed);
    for (const postern::message::Header& field : view.headers(view.part(part))) {
      if (postern::EqualsIgnoreCase(field.name, name)) AppendMailboxes(field.value, list.get());
    }
    *out = list.release();
    return POSTERN_OK;
  });
}

postern_status postern_parsed_body(postern_buf* out, const postern_parsed* parsed, size_t part,
                                   int32_t form, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
    *out = postern_buf{nullptr, 0};
    if (!HasPart(parsed, part))
      return Fail(out_error, POSTERN_ERR_NOT_FOUND, "part", "there is no such part");
    const postern::message::MessageView& view = *ViewOf(parsed);
    std::string decoded;
    switch (form) {
      case POSTERN_BODY_RAW: Give(out, view.BodyBytes(view.part(part))); return POSTERN_OK;
      case POSTERN_BODY_DECODED:
        postern::message::DecodeBody(view, view.part(part), decoded);
        break;
      case POSTERN_BODY_UTF8:
        decoded = postern::message::DecodeBodyText(view, view.part(part));
        break;
      case POSTERN_BODY_PLAIN: decoded = PlainBody(*parsed->message, part); break;
      default:
        return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                    "form is none of POSTERN_BODY_*");
    }
    Give(out, decoded);
    return POSTERN_OK;
  });
}

postern_status postern_parsed_preview(postern_buf* out, const postern_parsed* parsed,
                                      size_t max_bytes, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out or parsed is NULL");
    Give(out, postern::message::PreviewText(*ViewOf(parsed), std::min<size_t>(max_bytes, 1 << 20)));
    return POSTERN_OK;
  });
}

size_t postern_parsed_defect_count(const postern_parsed* parsed) {
  size_t count = 0;
  if (parsed == nullptr) return count;
  (void)Guard(nullptr, [&]() -> postern_status {
    count = parsed->message->Defects().size();
    return POSTERN_OK;
  });
  return count;
}

postern_status postern_parsed_defect(postern_defect* out, const postern_parsed* parsed,
                                     size_t index) {
  if (index >= postern_parsed_defect_count(parsed)) return POSTERN_ERR_NOT_FOUND;
  const postern::message::DefectAt& defect = parsed->message->Defects()[index];
  postern_defect filled{};
  filled.name = Lend(postern::message::DefectName(defect.defect));
  filled.part = defect.part;
  filled.offset = defect.offset;
  return GiveStruct(out, filled) ? POSTERN_OK : POSTERN_ERR_INVALID_ARGUMENT;
}

postern_status postern_parsed_json(postern_buf* out, const postern_parsed* parsed,
                                   int32_t with_text, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || parsed == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out or parsed is NULL");
    Give(out, ParsedJson(*parsed->message, with_text != 0));
    return POSTERN_OK;
  });
}

postern_status postern_body_reader_new(postern_body_reader** out, const postern_parsed* parsed,
                                       size_t part, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
    *out = nullptr;
    if (!HasPart(parsed, part))
      return Fail(out_error, POSTERN_ERR_NOT_FOUND, "part", "there is no such part");
    const postern::message::MessageView& view = *ViewOf(parsed);
    *out = new postern_body_reader{parsed->message,
                                   postern::message::BodyReader(view, view.part(part))};
    return POSTERN_OK;
  });
}

postern_status postern_body_reader_next(postern_body_reader* reader, postern_str* out_piece,
                                        postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (reader == nullptr || out_piece == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  "reader or out_piece is NULL");
    *out_piece = postern_str{nullptr, 0};
    std::string_view piece;
    if (!reader->reader.Next(&piece)) return POSTERN_DONE;
    *out_piece = Lend(piece);
    return POSTERN_OK;
  });
}

void postern_body_reader_free(postern_body_reader* reader) { delete reader; }

}  // extern "C"
