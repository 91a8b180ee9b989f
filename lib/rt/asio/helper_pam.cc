#include "lib/rt/asio/helper_pam.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "lib/rt/asio/helper_wire.h"
#include "lib/rt/asio/pam_check.h"
#include "lib/rt/helper.h"

namespace postern::rt {
namespace {

constexpr size_t kServiceFields = 2;

}  // namespace

std::string PamServiceText(const PamService& service) {
  return EncodeFields({service.name, service.folder});
}

void AddPamService(std::string_view request, NamedPamServices* services) {
  const std::optional<std::vector<std::string>> fields = DecodeFields(request, kServiceFields);
  if (!fields || fields->size() != kServiceFields || services->size() >= kMaxHelperPamServices)
    return;
  services->insert(PamService{(*fields)[0], (*fields)[1]});
}

void DoPam(const NamedPamServices& services, std::string_view request, int reply) {
  ::setsid();
  // Programs of modules (pam_exec) start with signals as anybody's do.
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2})
    ::signal(number, SIG_DFL);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(077);
  ::clearenv();
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  const std::optional<PamQuestion> question = DecodePamQuestion(request);
  if (!question || !services.contains(question->service)) {
    WriteAll(reply, RefusalText(EPERM,
                                "the configuration did not name this service of PAM when "
                                "the server started: it takes a restart"));
    ::_exit(1);
  }
  WriteAll(reply, "+" + EncodePamAnswer(AskPam(*question)));
  ::_exit(0);
}

}  // namespace postern::rt
