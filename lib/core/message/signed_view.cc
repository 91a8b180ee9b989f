#include "lib/core/message/signed_view.h"

#include "lib/core/base/strings.h"
#include "lib/core/message/content_type.h"

namespace postern::message {

std::string SignedView::CanonicalOctets() const {
  std::string out;
  out.reserve(octets.size() + octets.size() / 32);
  size_t at = 0;
  while (at < octets.size()) {
    const size_t lf = octets.find('\n', at);
    if (lf == std::string_view::npos) break;
    const bool crlf = lf > at && octets[lf - 1] == '\r';
    out.append(octets.substr(at, lf - at - (crlf ? 1 : 0))).append("\r\n");
    at = lf + 1;
  }
  out.append(octets.substr(at));
  return out;
}

std::optional<SignedView> ViewSigned(const MessageView& message, uint32_t index) {
  if (index >= message.parts().size()) return std::nullopt;
  const Part& part = message.part(index);
  if (!part.Is("multipart", "signed") || part.kind != PartKind::kMultipart || part.child_count != 2)
    return std::nullopt;
  const Header* field = message.Find(part, Field::kContentType);
  if (field == nullptr) return std::nullopt;
  SignedView view;
  const ContentType type = ParseContentType(field->value);
  if (const std::string* protocol = type.parameters.Find("protocol"); protocol != nullptr)
    view.protocol = AsciiLower(*protocol);
  if (const std::string* micalg = type.parameters.Find("micalg"); micalg != nullptr)
    view.micalg = AsciiLower(*micalg);
  view.content_part = message.Child(part, 0);
  view.signature_part = message.Child(part, 1);
  const Part& signature = message.part(view.signature_part);
  const std::string given = AsciiLower(StrCat(signature.type, "/", signature.subtype));
  // RFC 8551 §3.5.3.1: the old names with "x-" are met.
  const auto plain = [](std::string_view name) {
    std::string out(name);
    if (const size_t x = out.find("/x-"); x != std::string::npos) out.erase(x + 1, 2);
    return out;
  };
  if (!view.protocol.empty() && plain(view.protocol) != plain(given)) return std::nullopt;
  if (view.protocol.empty()) view.protocol = given;
  view.octets = message.Bytes(message.part(view.content_part));
  return view;
}

std::optional<SignedView> FindSigned(const MessageView& message) {
  for (size_t i = 0; i < message.parts().size(); ++i) {
    std::optional<SignedView> view = ViewSigned(message, static_cast<uint32_t>(i));
    if (view.has_value()) return view;
  }
  return std::nullopt;
}

}  // namespace postern::message
