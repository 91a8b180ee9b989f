// What the C API of DMARC and of whole messages share.
#pragma once

#include "postern/dmarc.h"
#include <concepts>
#include <optional>
#include <string>
#include <string_view>

#include "lib/capi/struct_capi.h"
#include "lib/core/base/json.h"
#include "lib/core/base/status.h"
#include "lib/core/trust/dmarc_check.h"
#include "lib/core/trust/dmarc_report.h"

struct postern_dmarc_row {
  postern::trust::DmarcReportRecord record;
};

namespace postern::capi {

// MemberWriter is JsonWriter with the members of an object in one call each.
class MemberWriter {
 public:
  MemberWriter& BeginObject() { return Do(json_.BeginObject()); }
  MemberWriter& EndObject() { return Do(json_.EndObject()); }
  MemberWriter& BeginArray() { return Do(json_.BeginArray()); }
  MemberWriter& EndArray() { return Do(json_.EndArray()); }
  MemberWriter& Key(std::string_view name) { return Do(json_.Key(name)); }
  MemberWriter& String(std::string_view text) { return Do(json_.String(text)); }
  MemberWriter& Member(std::string_view name, std::string_view text) {
    return Do(json_.Key(name).String(text));
  }
  MemberWriter& Member(std::string_view name, const char* text) {
    return Do(json_.Key(name).String(text));
  }
  MemberWriter& Member(std::string_view name, const std::string& text) {
    return Do(json_.Key(name).String(text));
  }
  MemberWriter& Member(std::string_view name, bool value) {
    return Do(json_.Key(name).Bool(value));
  }
  template <std::integral T>
  MemberWriter& Member(std::string_view name, T number) {
    return Do(json_.Key(name).Int(static_cast<int64_t>(number)));
  }
  std::string Take() { return json_.Take(); }

 private:
  MemberWriter& Do(JsonWriter&) { return *this; }
  JsonWriter json_{true};
};

// DmarcSettings are options that own their list.
struct DmarcSettings {
  trust::DmarcOptions options;
  std::optional<trust::PublicSuffixList> list;
  DmarcSettings() = default;
  DmarcSettings(const DmarcSettings&) = delete;
  DmarcSettings& operator=(const DmarcSettings&) = delete;
};

// ReadDmarcOptions fills in `settings`; null options are the defaults.
Status ReadDmarcOptions(const postern_dmarc_options* options, DmarcSettings* settings);

void WriteDmarcRecord(const trust::DmarcRecord& record, MemberWriter& json);
void WriteDmarcCheck(const trust::DmarcCheck& check, MemberWriter& json);

// Given is octets of a caller: NULL is empty.
inline std::string_view Given(const char* data, size_t len) {
  return data == nullptr ? std::string_view() : std::string_view(data, len);
}

int32_t CodeOf(trust::DmarcResult result);
int32_t CodeOf(trust::DmarcPolicy policy);
// PolicyOf is the way back; nullopt for a number that is none.
std::optional<trust::DmarcPolicy> PolicyOf(int32_t disposition);

}  // namespace postern::capi
