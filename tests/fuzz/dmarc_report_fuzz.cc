// Any octets as an aggregate report: XML, gzip, zip or mail. Nothing passes its bounds, and what is
// read prints as a report that reads the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/core/trust/dmarc_report.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::trust;
  DmarcReportLimits limits;
  limits.max_xml_bytes = 1 << 20;
  limits.max_total_bytes = 2 << 20;
  limits.max_records = 1'000;
  limits.max_text_bytes = 1'000;
  const postern::StatusOr<std::vector<DmarcReport>> reports =
      ReadDmarcReports(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!reports.ok()) return 0;
  for (DmarcReport report : *reports) {
    if (report.records.size() > limits.max_records) std::abort();
    DescribeDmarcReport(report);
    report.problems.clear();
    const std::string printed = FormatDmarcReport(report);
    const postern::StatusOr<DmarcReport> again = ParseDmarcReport(printed);
    if (!again.ok() || FormatDmarcReport(*again) != printed) std::abort();
  }
  return 0;
}
