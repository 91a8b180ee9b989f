// DMARC in C++. Header-only over postern/dmarc.h; C++17; no exceptions of its own.
#ifndef POSTERN_DMARC_HPP
#define POSTERN_DMARC_HPP

#include "dmarc.h"
#include "result.hpp"
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace postern {

// DmarcRecord is one record, read.
class DmarcRecord {
 public:
  static Result<DmarcRecord> Parse(std::string_view text) {
    postern_dmarc_record* record = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_dmarc_record_parse(&record, text.data(), text.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcRecord(record);
  }
  // It takes a record of the C API.
  explicit DmarcRecord(postern_dmarc_record* record) : record_(record) {}

  bool usable() const { return postern_dmarc_record_is_usable(record_.get()) != 0; }
  // These live as long as the record.
  std::string_view text() const { return postern_dmarc_record_text(record_.get()); }
  std::string_view json() const { return postern_dmarc_record_json(record_.get()); }

 private:
  struct Free {
    void operator()(postern_dmarc_record* record) const { postern_dmarc_record_free(record); }
  };
  std::unique_ptr<postern_dmarc_record, Free> record_;
};

// DmarcDiscovery is what the DNS says about a domain.
class DmarcDiscovery {
 public:
  // Of asks `resolver`, on this thread. `options` may be null.
  static Result<DmarcDiscovery> Of(postern_resolver* resolver, std::string_view domain,
                                   const postern_dmarc_options* options = nullptr) {
    postern_dmarc_discovery* discovery = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_dmarc_discover(&discovery, resolver, domain.data(), domain.size(), options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcDiscovery(discovery);
  }
  explicit DmarcDiscovery(postern_dmarc_discovery* discovery) : discovery_(discovery) {}

  // These live as long as the object; empty when there is no such thing.
  std::string_view policy_domain() const {
    return postern_dmarc_discovery_policy_domain(discovery_.get());
  }
  std::string_view organizational_domain() const {
    return postern_dmarc_discovery_organizational_domain(discovery_.get());
  }
  std::string_view record() const { return postern_dmarc_discovery_record(discovery_.get()); }
  std::string_view json() const { return postern_dmarc_discovery_json(discovery_.get()); }

 private:
  struct Free {
    void operator()(postern_dmarc_discovery* one) const { postern_dmarc_discovery_free(one); }
  };
  std::unique_ptr<postern_dmarc_discovery, Free> discovery_;
};

enum class DmarcCode { kNone, kPass, kFail, kTempError, kPermError };
enum class DmarcDisposition { kNothing, kQuarantine, kReject };

// DmarcVerdict is the outcome of one check.
class DmarcVerdict {
 public:
  // Check judges mail of `from_domain` for which SPF passed for `spf_domain` (empty: it did not)
  // and DKIM for `dkim_domains`.
  static Result<DmarcVerdict> Check(postern_resolver* resolver, std::string_view from_domain,
                                    std::string_view spf_domain,
                                    const std::vector<std::string_view>& dkim_domains,
                                    const postern_dmarc_options* options = nullptr) {
    std::vector<postern_str> domains;
    for (std::string_view domain : dkim_domains)
      domains.push_back(postern_str{domain.data(), domain.size()});
    postern_dmarc_result* result = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dmarc_check(
        &result, resolver, from_domain.data(), from_domain.size(), spf_domain.data(),
        spf_domain.size(), domains.data(), domains.size(), options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcVerdict(result);
  }
  explicit DmarcVerdict(postern_dmarc_result* result) : result_(result) {}

  DmarcCode code() const {
    return static_cast<DmarcCode>(postern_dmarc_result_code(result_.get()));
  }
  DmarcDisposition disposition() const {
    return static_cast<DmarcDisposition>(postern_dmarc_result_disposition(result_.get()));
  }
  // These live as long as the verdict.
  std::string_view reason() const { return postern_dmarc_result_reason(result_.get()); }
  std::string_view explanation() const { return postern_dmarc_result_explanation(result_.get()); }
  std::string_view json() const { return postern_dmarc_result_json(result_.get()); }

 private:
  struct Free {
    void operator()(postern_dmarc_result* result) const { postern_dmarc_result_free(result); }
  };
  std::unique_ptr<postern_dmarc_result, Free> result_;
};

// DmarcReports is the aggregate reports of one file or mail.
class DmarcReports {
 public:
  static Result<DmarcReports> Read(std::string_view octets) {
    postern_dmarc_reports* reports = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_dmarc_reports_read(&reports, octets.data(), octets.size(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcReports(reports);
  }
  explicit DmarcReports(postern_dmarc_reports* reports) : reports_(reports) {}

  std::size_t size() const { return postern_dmarc_reports_count(reports_.get()); }
  // For people, and as JSON; they live as long as the object.
  std::string_view text(std::size_t index) const {
    return postern_dmarc_reports_text(reports_.get(), index);
  }
  std::string_view json(std::size_t index) const {
    return postern_dmarc_reports_json(reports_.get(), index);
  }

 private:
  struct Free {
    void operator()(postern_dmarc_reports* reports) const { postern_dmarc_reports_free(reports); }
  };
  std::unique_ptr<postern_dmarc_reports, Free> reports_;
};

}  // namespace postern

#endif  // POSTERN_DMARC_HPP
