// ShellCommand: the operator's `mda` command (or a `|command` of an alias or a .forward) as what a
// shell is given.
//
// A shell runs it, as its author expects; but nothing that was filled in for %{...} becomes part
// of the shell's text. In the place of each value stands a reference to an environment variable of
// its own, POSTERN_1, POSTERN_2, ..., quoted as that place needs it, and the variable holds the
// value: a shell never reads as commands what it finds in a variable (CVE-2020-7247 and
// CVE-2019-10149 were strangers' local parts in a shell's text). What is filled in has lost the
// characters that format.h takes from it all the same, for programs that hand their arguments to
// shells of their own.
//
//   mda "/usr/bin/procmail -f %{sender} -d %{user.username}"
//   becomes  /usr/bin/procmail -f "${POSTERN_1}" -d "${POSTERN_2}"
//
// A wrapper's %{mda} is the inner command: its text, written so that it arrives whole in the quotes
// that stand there. The variables pass through shells within shells.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/policy/format.h"

namespace postern::policy {

class ShellCommand {
 public:
  // An empty one: nothing to run.
  ShellCommand() = default;

  // text is for `sh -c`. Nothing but MakeShellCommand makes it, from what an operator (or the owner
  // of a .forward) wrote.
  const std::string& text() const { return text_; }
  // environment holds "POSTERN_1=value" and so on.
  const std::vector<std::string>& environment() const { return environment_; }

 private:
  friend StatusOr<ShellCommand> MakeShellCommand(std::string_view command, std::string_view wrapper,
                                                 const FormatContext& context);
  std::string text_;
  std::vector<std::string> environment_;
};

// MakeShellCommand makes what runs for `command`; `wrapper` is empty where there is none.
// A value that begins a word does not begin with '-', whoever chose it: it becomes ':', so that a
// local part is no option. Errors: those of ExpandFormat, and kInvalidArgument for a quote that is
// not closed.
StatusOr<ShellCommand> MakeShellCommand(std::string_view command, std::string_view wrapper,
                                        const FormatContext& context);

// CheckShellCommand tells whether `command` can be run at all, for the configuration check.
// `is_wrapper`: %{mda} is allowed.
Status CheckShellCommand(std::string_view command, bool is_wrapper);

}  // namespace postern::policy
