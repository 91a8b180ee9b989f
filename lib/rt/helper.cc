#include "lib/rt/helper.h"

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

std::string EncodeFields(const std::vector<std::string>& fields) {
  std::string out;
  for (const std::string& field : fields) {
    const uint32_t size = static_cast<uint32_t>(field.size());
    for (int shift = 24; shift >= 0; shift -= 8)
      out.push_back(static_cast<char>((size >> shift) & 0xff));
    out += field;
  }
  return out;
}

std::optional<std::vector<std::string>> DecodeFields(std::string_view text, size_t max_fields) {
  std::vector<std::string> fields;
  while (!text.empty()) {
    if (text.size() < kLengthBytes || fields.size() >= max_fields) return std::nullopt;
    size_t size = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) size = size << 8 | static_cast<uint8_t>(text[i]);
    text.remove_prefix(kLengthBytes);
    if (size > text.size()) return std::nullopt;
    fields.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return fields;
}

void AppendStatus(const Status& status, std::vector<std::string>* fields) {
  fields->push_back(StrCat(static_cast<int>(status.code()), " ", ErrnoOf(status)));
  fields->push_back(std::string(Message(status)));
}

Status StatusOfFields(const std::vector<std::string>& fields, size_t at) {
  if (fields.size() < at + 2) return Unavailable("the helper's answer is not whole");
  const std::vector<std::string_view> numbers = Split(fields[at], ' ');
  const std::optional<uint64_t> code = ParseUint(numbers[0], 16);
  const std::optional<uint64_t> error =
      numbers.size() == 2 ? ParseUint(numbers[1], 4095) : std::optional<uint64_t>();
  if (!code || !error) return Unavailable("the helper's answer is not whole");
  if (*code == 0) return OkStatus();
  if (*error == 0) return Error(static_cast<StatusCode>(*code), fields[at + 1]);
  // The text of the error stands at the end of the message already.
  const Status plain = ErrnoError(static_cast<int>(*error), "");
  std::string_view what = fields[at + 1];
  if (what.ends_with(Message(plain))) what.remove_suffix(Message(plain).size());
  return ErrnoError(static_cast<int>(*error), what);
}

}  // namespace postern::rt
