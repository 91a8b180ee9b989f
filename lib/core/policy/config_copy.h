// A copy of a configuration as it was read: the file with what it includes, and the macros that
// were given beside it. It can be parsed again when the files say something else: mail that was
// queued under it goes by its actions still.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/policy/parse.h"

namespace postern::policy {

struct ConfigCopy {
  std::string main;  // the name that Parse is to be called with
  std::vector<std::pair<std::string, std::string>> macros;  // name and value
  std::vector<std::pair<std::string, std::string>> files;   // path and text, each once

  friend bool operator==(const ConfigCopy&, const ConfigCopy&) = default;
};

// EncodeConfigCopy writes it as octets: a first line with the form's version, then each text with
// its length before it, so that nothing in a file can become structure.
std::string EncodeConfigCopy(const ConfigCopy& copy);
// DecodeConfigCopy reads it back in linear time; kDataLoss when it is not whole or of a form that
// we do not know.
StatusOr<ConfigCopy> DecodeConfigCopy(std::string_view encoded);

// CopyingLoader loads by another loader and keeps what that gave.
class CopyingLoader final : public SourceLoader {
 public:
  // Both outlive it.
  CopyingLoader(SourceLoader* from, ConfigCopy* copy) : from_(from), copy_(copy) {}
  StatusOr<std::string> Load(const std::string& path) override;

 private:
  SourceLoader* from_;
  ConfigCopy* copy_;
};

// ParseCopy parses what was copied. `options` are Parse's, but for the macros, which are the
// copy's.
ParseResult ParseCopy(const ConfigCopy& copy, ParseOptions options);

// OnlyAction gives `config` with one of its actions (by index) and all that this one needs, where
// it is in `config`: no listeners, rules, filters or other actions, and no files but its own. So it
// can be loaded where the files of the rest are gone.
Config OnlyAction(const Config& config, int action);

}  // namespace postern::policy
