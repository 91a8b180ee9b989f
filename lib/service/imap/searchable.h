// SearchableContent shows a stored message to SEARCH: header fields and text, decoded.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/core/mailbox/mailbox.h"
#include "lib/core/mailbox/search.h"
#include "lib/core/message/parser.h"

namespace postern::service {

class SearchableContent final : public mailbox::SearchableMessage {
 public:
  // A message above `parse_limit_bytes` has no content here: it matches no key that asks for some.
  SearchableContent(std::unique_ptr<mailbox::MessageContent> content, uint64_t parse_limit_bytes)
      : content_(std::move(content)), parse_limit_bytes_(parse_limit_bytes) {}

  StatusOr<bool> EachHeader(
      std::string_view name,
      const std::function<bool(std::string_view, std::string_view)>& visit) override;
  StatusOr<std::optional<mail::MailDate>> SentDate() override;
  StatusOr<bool> EachText(const std::function<bool(std::string_view)>& visit) override;

 private:
  Status Parse();

  std::unique_ptr<mailbox::MessageContent> content_;
  uint64_t parse_limit_bytes_;
  std::optional<message::MessageView> parsed_;
};

}  // namespace postern::service
