#include "lib/core/milter/change.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::milter {
namespace {

bool IsFieldName(std::string_view name) {
  // RFC 5322 §3.6.8: printable US-ASCII without the colon.
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return c > ' ' && c < 0x7f && c != ':'; });
}

bool IsPlain(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// IncomingValue makes one field of what a filter gave: lines that LF or CRLF ends become CRLF, a
// line that does not begin with a blank gets a tab (else it would be a field of its own), empty
// lines go (they would end the header), and so does a lone CR.
std::string IncomingValue(std::string_view value, bool leading_space) {
  std::string out;
  if (!leading_space) out.push_back(' ');
  bool first = true;
  for (std::string_view line : Split(value, '\n')) {
    std::string clean;
    for (const char c : line) {
      if (c != '\r') clean.push_back(c);
    }
    if (first) {
      out.append(clean);
      first = false;
      continue;
    }
    if (clean.find_first_not_of(" \t") == std::string::npos) continue;
    out.append("\r\n");
    if (clean[0] != ' ' && clean[0] != '\t') out.push_back('\t');
    out.append(clean);
  }
  return out;
}

Status CutOff() { return InvalidArgument("a change that is cut off"); }

StatusOr<Change> ReadHeaderChange(Change change, bool with_index, std::string_view data,
                                  bool leading_space) {
  FieldReader fields(data);
  std::string_view value;
  if ((with_index && !fields.Uint32(&change.index)) || !fields.Text(&change.name) ||
      !fields.Text(&value) || !fields.done()) {
    return CutOff();
  }
  if (!IsFieldName(change.name))
    return InvalidArgument(StrCat("\"", Escape(change.name, 80), "\" is no header field's name"));
  if (change.kind == Change::Kind::kChangeHeader) {
    // Sendmail and Postfix take 0 for 1.
    change.index = std::max<uint32_t>(1, change.index);
    if (value.empty()) return change;
  }
  change.value = IncomingValue(value, leading_space);
  return change;
}

StatusOr<Change> ReadAddressChange(Change change, bool with_args, std::string_view data) {
  FieldReader fields(data);
  if (!fields.Text(&change.address)) return CutOff();
  if (with_args && !fields.done() && !fields.Text(&change.args)) return CutOff();
  if (!fields.done()) return InvalidArgument("a change of an address with something behind it");
  if (!IsPlain(change.address) || !IsPlain(change.args))
    return InvalidArgument("a control character in an address");
  return change;
}

}  // namespace

uint32_t ActionOf(Response response) {
  switch (response) {
    case Response::kAddHeader:
    case Response::kInsertHeader: return kMayAddHeaders;
    case Response::kChangeHeader: return kMayChangeHeaders;
    case Response::kAddRcpt: return kMayAddRcpt;
    case Response::kAddRcptWith: return kMayAddRcptWith;
    case Response::kDeleteRcpt: return kMayDeleteRcpt;
    case Response::kChangeFrom: return kMayChangeFrom;
    case Response::kReplaceBody: return kMayReplaceBody;
    case Response::kQuarantine: return kMayQuarantine;
    default: return 0;
  }
}

StatusOr<Change> ReadChange(Response response, std::string_view data, bool leading_space) {
  using Kind = Change::Kind;
  Change change;
  switch (response) {
    case Response::kAddHeader:
      change.kind = Kind::kAddHeader;
      return ReadHeaderChange(std::move(change), /*with_index=*/false, data, leading_space);
    case Response::kInsertHeader:
      change.kind = Kind::kInsertHeader;
      return ReadHeaderChange(std::move(change), /*with_index=*/true, data, leading_space);
    case Response::kChangeHeader:
      change.kind = Kind::kChangeHeader;
      return ReadHeaderChange(std::move(change), /*with_index=*/true, data, leading_space);
    case Response::kAddRcpt:
      change.kind = Kind::kAddRcpt;
      return ReadAddressChange(std::move(change), /*with_args=*/false, data);
    case Response::kAddRcptWith:
      change.kind = Kind::kAddRcpt;
      return ReadAddressChange(std::move(change), /*with_args=*/true, data);
    case Response::kDeleteRcpt:
      change.kind = Kind::kDeleteRcpt;
      return ReadAddressChange(std::move(change), /*with_args=*/false, data);
    case Response::kChangeFrom:
      change.kind = Kind::kChangeFrom;
      return ReadAddressChange(std::move(change), /*with_args=*/true, data);
    case Response::kReplaceBody:
      change.kind = Kind::kReplaceBody;
      change.body = data;
      return change;
    case Response::kQuarantine: {
      change.kind = Kind::kQuarantine;
      FieldReader fields(data);
      if (!fields.Text(&change.reason) || !fields.done()) return CutOff();
      return change;
    }
    default: return InvalidArgument("no change");
  }
}

void WriteChange(const Change& change, bool leading_space, std::string* out) {
  using Kind = Change::Kind;
  const auto packet = [out](Response code) { return PacketWriter(out, static_cast<char>(code)); };
  switch (change.kind) {
    case Kind::kAddHeader:
      packet(Response::kAddHeader)
          .Text(change.name)
          .Text(OutgoingValue(change.value, leading_space));
      break;
    case Kind::kInsertHeader:
      packet(Response::kInsertHeader)
          .Uint32(change.index)
          .Text(change.name)
          .Text(OutgoingValue(change.value, leading_space));
      break;
    case Kind::kChangeHeader:
      packet(Response::kChangeHeader)
          .Uint32(change.index)
          .Text(change.name)
          .Text(OutgoingValue(change.value, leading_space));
      break;
    case Kind::kAddRcpt:
      if (change.args.empty()) {
        packet(Response::kAddRcpt).Text(change.address);
      } else {
        packet(Response::kAddRcptWith).Text(change.address).Text(change.args);
      }
      break;
    case Kind::kDeleteRcpt: packet(Response::kDeleteRcpt).Text(change.address); break;
    case Kind::kChangeFrom:
      packet(Response::kChangeFrom).Text(change.address).Text(change.args);
      break;
    case Kind::kReplaceBody: packet(Response::kReplaceBody).Octets(change.body); break;
    case Kind::kQuarantine: packet(Response::kQuarantine).Text(change.reason); break;
  }
}

std::string OutgoingValue(std::string_view value, bool leading_space) {
  if (!leading_space && !value.empty() && value.front() == ' ') value.remove_prefix(1);
  std::string out;
  out.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '\r' && i + 1 < value.size() && value[i + 1] == '\n') continue;
    out.push_back(value[i]);
  }
  return out;
}

}  // namespace postern::milter
