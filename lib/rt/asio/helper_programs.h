// Programs of the configuration that the helper starts: what was named, and its child.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "lib/rt/helper.h"
#include "lib/rt/processes.h"

namespace postern::rt {

// NamedPrograms are what may be started, by name: what the server named before its privileges went.
using NamedPrograms = std::map<std::string, ProcessSpec, std::less<>>;

// NamedProgramText is the request of kAllowProgram; AddNamedProgram reads one, and passes over what
// is not whole and what is beyond kMaxHelperPrograms.
std::string NamedProgramText(const std::string& name, const ProcessSpec& spec);
void AddNamedProgram(std::string_view request, NamedPrograms* programs);

// ForkNamedProgram starts `spec` as spec.run_as, with `io` as its standard input and output and
// `errors` as its standard error. It dies with this process. kPermissionDenied where we are not
// root and it is to be somebody else, or to see less of the files than we do.
StatusOr<pid_t> ForkNamedProgram(const ProcessSpec& spec, int io, int errors);

}  // namespace postern::rt
