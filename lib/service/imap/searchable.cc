#include "lib/service/imap/searchable.h"

#include "lib/core/base/strings.h"
#include "lib/core/message/encoded_word.h"
#include "lib/core/message/text.h"

namespace postern::service {

Status SearchableContent::Parse() {
  if (parsed_.has_value()) return OkStatus();
  const StatusOr<std::string_view> text = content_->All(parse_limit_bytes_);
  if (!text.ok()) return text.status();
  parsed_ = message::ParseMessage(*text);
  return OkStatus();
}

StatusOr<bool> SearchableContent::EachHeader(
    std::string_view name, const std::function<bool(std::string_view, std::string_view)>& visit) {
  POSTERN_RETURN_IF_ERROR(Parse());
  for (const message::Header& header : parsed_->headers(parsed_->root())) {
    if (!name.empty() && !EqualsIgnoreCase(header.name, name)) continue;
    if (visit(header.name, message::DecodeText(header.value))) return true;
  }
  return false;
}

StatusOr<std::optional<mail::MailDate>> SearchableContent::SentDate() {
  POSTERN_RETURN_IF_ERROR(Parse());
  const message::Header* date = parsed_->Find(parsed_->root(), message::Field::kDate);
  if (date == nullptr) return std::optional<mail::MailDate>();
  const StatusOr<mail::MailDate> parsed = mail::ParseDate(message::Unfold(date->value));
  if (!parsed.ok()) return std::optional<mail::MailDate>();
  return std::optional<mail::MailDate>(*parsed);
}

StatusOr<bool> SearchableContent::EachText(const std::function<bool(std::string_view)>& visit) {
  POSTERN_RETURN_IF_ERROR(Parse());
  message::TextOptions options;
  options.headers = false;
  options.fold_case = false;  // mailbox::Search folds both sides alike
  return visit(message::DecodedText(*parsed_, options));
}

}  // namespace postern::service
