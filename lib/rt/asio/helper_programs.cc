#include "lib/rt/asio/helper_programs.h"

#include <limits>
#include <unistd.h>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/program_child.h"

namespace postern::rt {
namespace {

// The fields before the groups, arguments and variables: the name, the directory, the root, uid,
// gid, and how many there are of the first two of those three.
constexpr size_t kFixedFields = 7;

}  // namespace

std::string NamedProgramText(const std::string& name, const ProcessSpec& spec) {
  const Credentials who = spec.run_as.value_or(Credentials());
  std::vector<std::string> fields = {name,
                                     spec.directory,
                                     spec.root,
                                     StrCat(who.uid),
                                     StrCat(who.gid),
                                     StrCat(who.groups.size()),
                                     StrCat(spec.argv.size())};
  for (const uint32_t group : who.groups) fields.push_back(StrCat(group));
  fields.insert(fields.end(), spec.argv.begin(), spec.argv.end());
  fields.insert(fields.end(), spec.environment.begin(), spec.environment.end());
  return EncodeFields(fields);
}

void AddNamedProgram(std::string_view request, NamedPrograms* programs) {
  constexpr uint64_t kMaxId = std::numeric_limits<uint32_t>::max();
  const std::optional<std::vector<std::string>> fields =
      DecodeFields(request, kMaxHelperRequestBytes);
  if (!fields || fields->size() < kFixedFields || programs->size() >= kMaxHelperPrograms) return;
  const std::optional<uint64_t> uid = ParseUint((*fields)[3], kMaxId);
  const std::optional<uint64_t> gid = ParseUint((*fields)[4], kMaxId);
  const std::optional<uint64_t> groups = ParseUint((*fields)[5], kMaxGroups);
  const std::optional<uint64_t> words = ParseUint((*fields)[6], kMaxHelperRequestBytes);
  if (!uid || !gid || !groups || !words || *words == 0 ||
      fields->size() < kFixedFields + *groups + *words)
    return;
  ProcessSpec spec;
  spec.directory = (*fields)[1];
  spec.root = (*fields)[2];
  Credentials who{static_cast<uint32_t>(*uid), static_cast<uint32_t>(*gid), {}};
  size_t at = kFixedFields;
  for (const size_t end = at + *groups; at < end; ++at) {
    const std::optional<uint64_t> group = ParseUint((*fields)[at], kMaxId);
    if (!group) return;
    who.groups.push_back(static_cast<uint32_t>(*group));
  }
  spec.run_as = std::move(who);
  for (const size_t end = at + *words; at < end; ++at) spec.argv.push_back((*fields)[at]);
  for (; at < fields->size(); ++at) spec.environment.push_back((*fields)[at]);
  if (spec.argv[0].empty() || spec.argv[0][0] != '/') return;
  programs->insert_or_assign((*fields)[0], std::move(spec));
}

StatusOr<pid_t> ForkNamedProgram(const ProcessSpec& spec, int io, int errors) {
  if (::geteuid() != 0 && (!spec.run_as || spec.run_as->uid != ::geteuid() || !spec.root.empty()))
    return PermissionDenied("only root becomes another user");
  return ForkProgram(spec, {io, io, errors}, /*dies_with_us=*/true);
}

}  // namespace postern::rt
