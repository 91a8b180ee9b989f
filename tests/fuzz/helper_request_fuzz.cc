// What comes over the helper's socket: nothing crashes it, and it runs nothing but mail's shell.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/program.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string mailbox = deliver::SpoolMailboxOf(input);
  if (mailbox.find('/') != std::string::npos) abort();
  rt::HelperTask task;
  task.request = input;
  task.run = [](const rt::ProcessSpec& spec) -> StatusOr<rt::ProcessResult> {
    if (!deliver::IsProgramOfMail(spec.argv)) abort();
    return rt::ProcessResult();
  };
  const std::string answer = deliver::DoDelivery(task);
  if (!rt::DecodeFields(answer, 64).has_value()) abort();
  (void)deliver::MailboxOutcome(std::string(input));
  (void)deliver::ProgramOutcome(std::string(input));
  return 0;
}
