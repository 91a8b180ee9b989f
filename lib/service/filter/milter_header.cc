#include "lib/service/filter/milter_header.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::service {
namespace {

HeaderField MakeField(std::string_view name, std::string_view value) {
  HeaderField field;
  field.name = std::string(name);
  field.text = StrCat(name, ":", value, "\r\n");
  return field;
}

std::string_view NameIn(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return {};
  std::string_view name = line.substr(0, colon);
  // RFC 5322 §4.5: old mail has blanks between the name and the colon.
  while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) name.remove_suffix(1);
  const bool good =
      std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  return good ? name : std::string_view();
}

}  // namespace

std::string_view HeaderField::value() const {
  std::string_view value = std::string_view(text).substr(text.find(':') + 1);
  if (value.ends_with("\r\n")) value.remove_suffix(2);
  return value;
}

std::vector<HeaderField> ParseHeaderFields(std::string_view header, std::string_view message_id) {
  std::vector<HeaderField> fields;
  while (!header.empty()) {
    const size_t end = header.find("\r\n");
    const std::string_view line =
        header.substr(0, end == std::string_view::npos ? header.size() : end + 2);
    header.remove_prefix(line.size());
    if (!fields.empty() && (line.front() == ' ' || line.front() == '\t')) {
      fields.back().text.append(line);
      continue;
    }
    HeaderField field;
    field.name = std::string(NameIn(line));
    field.text = std::string(line);
    fields.push_back(std::move(field));
  }
  for (HeaderField& field : fields) {
    if (message_id.empty() || !EqualsIgnoreCase(field.name, "Received") ||
        field.text.find(StrCat(" id ", message_id)) == std::string::npos) {
      continue;
    }
    field.own = true;
    break;
  }
  return fields;
}

void AddHeaderField(std::vector<HeaderField>* fields, std::string_view name,
                    std::string_view value) {
  fields->push_back(MakeField(name, value));
}

void InsertHeaderField(std::vector<HeaderField>* fields, uint32_t index, std::string_view name,
                       std::string_view value) {
  const size_t at = std::min<size_t>(index, fields->size());
  fields->insert(fields->begin() + static_cast<ptrdiff_t>(at), MakeField(name, value));
}

void ChangeHeaderField(std::vector<HeaderField>* fields, uint32_t index, std::string_view name,
                       std::string_view value) {
  uint32_t count = 0;
  for (size_t i = 0; i < fields->size(); ++i) {
    HeaderField& field = (*fields)[i];
    if (field.own || !EqualsIgnoreCase(field.name, name) || ++count != index) continue;
    if (value.empty()) {
      fields->erase(fields->begin() + static_cast<ptrdiff_t>(i));
    } else {
      field = MakeField(name, value);
    }
    return;
  }
  if (!value.empty()) AddHeaderField(fields, name, value);
}

}  // namespace postern::service
