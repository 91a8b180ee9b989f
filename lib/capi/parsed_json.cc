// A message taken apart, as JSON.
#include "lib/capi/address_capi.h"
#include "lib/capi/parsed_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/date.h"
#include "lib/core/message/bounce.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/text.h"

namespace postern::capi {
namespace {

using message::Field;
using message::Header;
using message::Part;

std::string_view KindName(message::PartKind kind) {
  switch (kind) {
    case message::PartKind::kLeaf: return "leaf";
    case message::PartKind::kMultipart: return "multipart";
    case message::PartKind::kMessage: return "message";
  }
  return "leaf";
}

std::string_view EncodingName(message::TransferEncoding encoding) {
  switch (encoding) {
    case message::TransferEncoding::kIdentity: return "identity";
    case message::TransferEncoding::kBase64: return "base64";
    case message::TransferEncoding::kQuotedPrintable: return "quoted-printable";
  }
  return "identity";
}

void WriteText(JsonWriter& json, std::string_view key, std::string_view text) {
  if (!text.empty()) json.Key(key).String(text);
}

void WriteAddresses(const ParsedMessage& parsed, Field field, std::string_view key,
                    JsonWriter& json) {
  postern_address_list list;
  for (const Header& header : parsed.view.headers(parsed.view.root())) {
    if (header.field == field) AppendMailboxes(header.value, &list);
  }
  if (list.entries.empty()) return;
  json.Key(key).BeginArray();
  std::string group;
  bool empty_group = false;
  for (const AddressEntry& entry : list.entries) {
    if (entry.kind == POSTERN_ADDRESS_GROUP_BEGIN) {
      group = entry.name;
      empty_group = true;
    }
    if (entry.kind == POSTERN_ADDRESS_GROUP_END) {
      // Nobody is in it, and that is what it says ("undisclosed-recipients:;").
      if (empty_group) json.BeginObject().Key("group").String(group).EndObject();
      empty_group = false;
      group.clear();
    }
    if (entry.kind != POSTERN_ADDRESS_MAILBOX) continue;
    empty_group = false;
    json.BeginObject();
    WriteText(json, "name", entry.name);
    json.Key("address").String(entry.address);
    WriteText(json, "group", group);
    json.EndObject();
  }
  json.EndArray();
}

void WriteSummary(const ParsedMessage& parsed, JsonWriter& json) {
  const message::MessageView& view = parsed.view;
  const auto text_of = [&](Field field) -> std::string_view {
    const Header* header = view.Find(view.root(), field);
    if (header == nullptr) return {};
    return parsed.TextOfHeader(static_cast<size_t>(header - view.all_headers().data()));
  };
  WriteText(json, "subject", text_of(Field::kSubject));
  WriteText(json, "message_id", text_of(Field::kMessageId));
  if (const Header* header = view.Find(view.root(), Field::kDate); header != nullptr) {
    const StatusOr<mail::MailDate> date = mail::ParseDate(header->value);
    if (date.ok()) {
      json.Key("date").BeginObject();
      json.Key("text").String(mail::FormatDate(date->time, date->offset_minutes));
      json.Key("unix_s").Int(absl::ToUnixSeconds(date->time));
      json.Key("offset_minutes").Int(date->offset_minutes);
      json.EndObject();
    }
  }
  for (const auto& [field, key] : {std::pair<Field, const char*>{Field::kFrom, "from"},
                                   {Field::kSender, "sender"},
                                   {Field::kReplyTo, "reply_to"},
                                   {Field::kTo, "to"},
                                   {Field::kCc, "cc"},
                                   {Field::kBcc, "bcc"}})
    WriteAddresses(parsed, field, key, json);
}

void WritePart(const ParsedMessage& parsed, size_t index, bool with_text, JsonWriter& json) {
  const message::MessageView& view = parsed.view;
  const Part& part = view.part(index);
  const PartTexts& texts = parsed.TextsOf(index);
  json.BeginObject();
  json.Key("part").Int(static_cast<int64_t>(index));
  if (part.parent != message::kNoPart) json.Key("parent").Int(part.parent);
  json.Key("depth").Int(part.depth);
  json.Key("kind").String(KindName(part.kind));
  json.Key("type").String(StrCat(texts.type, "/", texts.subtype));
  WriteText(json, "charset", texts.charset);
  json.Key("encoding").String(EncodingName(part.encoding));
  WriteText(json, "disposition", texts.disposition);
  WriteText(json, "file_name", texts.file_name);
  WriteText(json, "content_id", texts.content_id);
  json.Key("header_offset").Int(static_cast<int64_t>(part.header_offset));
  json.Key("body_offset").Int(static_cast<int64_t>(part.body_offset));
  json.Key("end_offset").Int(static_cast<int64_t>(part.end_offset));
  if (part.opaque) json.Key("opaque").Bool(true);
  if (part.kind == message::PartKind::kLeaf) {
    size_t decoded = 0;
    message::BodyReader reader(view, part);
    for (std::string_view piece; reader.Next(&piece);) decoded += piece.size();
    json.Key("decoded_bytes").Int(static_cast<int64_t>(decoded));
    if (with_text && part.Is("text", "")) json.Key("text").String(PlainBody(parsed, index));
  }
  json.Key("headers").BeginArray();
  for (size_t i = 0; i < part.header_count; ++i) {
    const Header& header = view.all_headers()[part.first_header + i];
    json.BeginObject();
    json.Key("name").String(header.name);
    json.Key("text").String(parsed.TextOfHeader(part.first_header + i));
    json.EndObject();
  }
  json.EndArray().EndObject();
}

void WriteBounce(const message::Bounce& bounce, JsonWriter& json) {
  json.Key("bounce").BeginObject();
  json.Key("form").String(bounce.form == message::Bounce::Form::kStatus ? "status" : "text");
  WriteText(json, "reporting_mta", bounce.reporting_mta.value);
  WriteText(json, "original_envelope_id", bounce.original_envelope_id);
  WriteText(json, "original_message_id", bounce.original_message_id);
  json.Key("recipients").BeginArray();
  for (const message::ReportedRecipient& each : bounce.recipients) {
    json.BeginObject();
    WriteText(json, "final_recipient", each.final_recipient);
    WriteText(json, "original_recipient", each.original_recipient);
    if (each.action.has_value()) json.Key("action").String(message::DsnActionName(*each.action));
    WriteText(json, "status", each.BestStatus().ToString());
    if (each.reply_code != 0) json.Key("reply_code").Int(each.reply_code);
    WriteText(json, "diagnostic", each.diagnostic.value);
    WriteText(json, "remote_mta", each.remote_mta.value);
    json.EndObject();
  }
  json.EndArray().EndObject();
}

}  // namespace

std::string ParsedJson(const ParsedMessage& parsed, bool with_text) {
  const message::MessageView& view = parsed.view;
  JsonWriter json(true);
  json.BeginObject();
  json.Key("size_bytes").Int(static_cast<int64_t>(view.raw().size()));
  WriteSummary(parsed, json);
  WriteText(json, "preview", message::PreviewText(view));
  const message::Bounce bounce = message::ReadBounce(view);
  if (bounce.form != message::Bounce::Form::kNone) WriteBounce(bounce, json);
  json.Key("defects").BeginArray();
  for (const message::DefectAt& defect : parsed.Defects()) {
    json.BeginObject();
    json.Key("defect").String(message::DefectName(defect.defect));
    json.Key("part").Int(defect.part);
    json.Key("offset").Int(static_cast<int64_t>(defect.offset));
    json.EndObject();
  }
  json.EndArray();
  json.Key("parts").BeginArray();
  for (size_t i = 0; i < view.parts().size(); ++i) WritePart(parsed, i, with_text, json);
  json.EndArray().EndObject();
  return json.Take() + "\n";
}

}  // namespace postern::capi
