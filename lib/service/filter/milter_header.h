// The header of a message as a milter sees and changes it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::service {

// HeaderField is one field with all its lines: `text` ends in CRLF. A line that is no field (an
// mbox line, say) is one without a name, which no milter sees.
struct HeaderField {
  std::string name;
  std::string text;
  bool own = false;  // our trace field, which milters do not see

  // value is what stands between the colon and the last CRLF.
  std::string_view value() const;
};

// ParseHeaderFields cuts `header`, the lines above the blank one, into fields. The first Received
// field that names `message_id` is our own.
std::vector<HeaderField> ParseHeaderFields(std::string_view header, std::string_view message_id);

// The changes of a milter; core/milter/change.h has what the indices mean. As Sendmail and Postfix
// count: inserted among all fields, ours too; changed among those that milters see. `value` is as
// milter::Change has it.
void AddHeaderField(std::vector<HeaderField>* fields, std::string_view name,
                    std::string_view value);
void InsertHeaderField(std::vector<HeaderField>* fields, uint32_t index, std::string_view name,
                       std::string_view value);
void ChangeHeaderField(std::vector<HeaderField>* fields, uint32_t index, std::string_view name,
                       std::string_view value);

}  // namespace postern::service
