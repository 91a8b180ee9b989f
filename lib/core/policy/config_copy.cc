#include "lib/core/policy/config_copy.h"

#include <algorithm>
#include <set>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

constexpr std::string_view kFirstLine = "postern configuration 1\n";

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A number is its digits and a line feed; a text its length as a number, and then its octets.
void PutText(std::string_view text, std::string* out) { StrAppend(*out, text.size(), "\n", text); }

void PutPairs(const Pairs& pairs, std::string* out) {
  StrAppend(*out, pairs.size(), "\n");
  for (const auto& [name, value] : pairs) {
    PutText(name, out);
    PutText(value, out);
  }
}

class CopyReader {
 public:
  explicit CopyReader(std::string_view in) : in_(in) {}

  bool Take(std::string_view front) {
    ok_ = ok_ && in_.substr(0, front.size()) == front;
    if (ok_) in_.remove_prefix(front.size());
    return ok_;
  }
  size_t Number() {
    size_t value = 0;
    size_t digits = 0;
    while (digits < in_.size() && IsAsciiDigit(in_[digits]) && digits < 15)
      value = value * 10 + static_cast<size_t>(in_[digits++] - '0');
    ok_ = ok_ && digits > 0;
    if (ok_) in_.remove_prefix(digits);
    Take("\n");
    return ok_ ? value : 0;
  }
  std::string Text() {
    const size_t size = Number();
    ok_ = ok_ && size <= in_.size();
    if (!ok_) return "";
    std::string text(in_.substr(0, size));
    in_.remove_prefix(size);
    return text;
  }
  Pairs Read() {
    Pairs pairs;
    const size_t count = Number();
    for (size_t i = 0; i < count && ok_; ++i) {
      std::string name = Text();
      std::string value = Text();
      if (ok_) pairs.emplace_back(std::move(name), std::move(value));
    }
    return pairs;
  }
  bool done() const { return ok_ && in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace

std::string EncodeConfigCopy(const ConfigCopy& copy) {
  std::string out(kFirstLine);
  PutText(copy.main, &out);
  PutPairs(copy.macros, &out);
  PutPairs(copy.files, &out);
  return out;
}

StatusOr<ConfigCopy> DecodeConfigCopy(std::string_view encoded) {
  CopyReader reader(encoded);
  if (!reader.Take(kFirstLine)) return DataLoss("no copy of a configuration, or of another form");
  ConfigCopy copy;
  copy.main = reader.Text();
  copy.macros = reader.Read();
  copy.files = reader.Read();
  if (!reader.done()) return DataLoss("the copy of a configuration is not whole");
  return copy;
}

StatusOr<std::string> CopyingLoader::Load(const std::string& path) {
  StatusOr<std::string> text = from_->Load(path);
  if (!text.ok()) return text;
  const auto same = [&path](const auto& file) { return file.first == path; };
  if (std::none_of(copy_->files.begin(), copy_->files.end(), same))
    copy_->files.emplace_back(path, *text);
  return text;
}

ParseResult ParseCopy(const ConfigCopy& copy, ParseOptions options) {
  options.macros = copy.macros;
  MemoryLoader loader;
  for (const auto& [path, text] : copy.files) loader.Add(path, text);
  return Parse(copy.main, loader, options);
}

Config OnlyAction(const Config& config, int action) {
  Config out = config;
  Action only = config.actions[static_cast<size_t>(action)];
  out.listeners.clear();
  out.rules.clear();
  out.filters.clear();
  out.procs.clear();
  out.milters.clear();
  only.relay.filter = kNoIndex;
  const std::set<TableId> tables = {
      only.alias,      only.virtual_users, only.userbase,   only.relay.helo_source,
      only.relay.host, only.relay.domain,  only.relay.auth, only.relay.source};
  for (size_t i = 0; i < out.tables.size(); ++i) {
    if (tables.contains(static_cast<TableId>(i))) continue;
    TableDeclaration empty;
    empty.name = out.tables[i].name;
    empty.location = out.tables[i].location;
    out.tables[i] = std::move(empty);
  }
  for (size_t i = 0; i < out.pkis.size(); ++i) {
    if (static_cast<int>(i) == only.relay.pki) continue;
    out.pkis[i].certificate_path.clear();
    out.pkis[i].key_path.clear();
  }
  for (size_t i = 0; i < out.cas.size(); ++i) {
    if (static_cast<int>(i) != only.relay.ca) out.cas[i].certificate_path.clear();
  }
  out.actions.clear();
  out.actions.push_back(std::move(only));
  return out;
}

}  // namespace postern::policy
