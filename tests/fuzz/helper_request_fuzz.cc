// What comes over the helper's socket, with a message: nothing crashes it, and it runs nothing but
// mail's shell. The files are those of a simulated disk. A request for a mailbox that has no
// envelope in it is tried with a good one, too, as none is found by chance.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/program.h"

namespace {

using namespace postern;

constexpr size_t kMaxFields = 512;
constexpr size_t kMboxFields = 6;      // the last but one is the envelope
constexpr size_t kMaildirsFields = 7;  // of one delivery: as well

std::string GoodEnvelope() {
  queue::Envelope envelope;
  envelope.sender.address = {"s", "example.org"};
  envelope.destination = {"u", "example.com"};
  envelope.recipient = envelope.destination;
  envelope.created = absl::FromUnixSeconds(1700000000);
  return queue::EncodeEnvelope(envelope);
}

void Do(std::string_view request, std::string_view message) {
  const std::string mailbox = deliver::SpoolMailboxOf(request);
  if (mailbox.find('/') != std::string::npos) abort();
  rt::sim::Simulation simulation(1);
  rt::sim::Host& host = simulation.AddHost({.name = "mx", .addresses = {}});
  rt::Files& files = host.world().files();
  (void)rt::MakeDirectories(files, "/var/mail", 0777);
  if (!rt::WriteFileDurably(files, "/payload", message, 0600).ok()) abort();
  const StatusOr<std::unique_ptr<rt::File>> payload = files.Open("/payload", rt::OpenOptions());
  if (!payload.ok()) abort();
  rt::HelperTask task;
  task.request = request;
  task.files = &files;
  task.payload = payload->get();
  task.mark = "1";
  task.run = [](const rt::ProcessSpec& spec) -> StatusOr<rt::ProcessResult> {
    if (!deliver::IsProgramOfMail(spec.argv)) abort();
    return rt::ProcessResult();
  };
  const std::string answer = deliver::DoDelivery(task);
  if (!rt::DecodeFields(answer, kMaxFields).has_value()) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size > rt::kMaxHelperRequestBytes) return 0;
  Do(input, input);
  std::optional<std::vector<std::string>> fields = rt::DecodeFields(input, kMaxFields);
  if (fields && (fields->size() == kMboxFields || fields->size() == kMaildirsFields)) {
    (*fields)[fields->size() - 2] = GoodEnvelope();
    Do(rt::EncodeFields(*fields), input);
  }
  (void)deliver::MboxOutcome(std::string(input));
  (void)deliver::MaildirOutcomes(std::string(input), 3);
  (void)deliver::ProgramOutcome(std::string(input));
  return 0;
}
