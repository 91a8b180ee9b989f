// DMARC in C++. Header-only over postern/dmarc.h; C++17; no exceptions of its own.
#ifndef POSTERN_DMARC_HPP
#define POSTERN_DMARC_HPP

#include "dmarc.h"
#include "result.hpp"
#include <cstddef>
#include <memory>
#include <string>
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
  bool is_temporary() const { return postern_dmarc_discovery_is_temporary(discovery_.get()) != 0; }
  std::string_view explanation() const {
    return postern_dmarc_discovery_explanation(discovery_.get());
  }
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

// DmarcRow is what a report tells of messages that are alike.
class DmarcRow {
 public:
  // Make begins a row; see postern_dmarc_row_new for what `options` needs.
  static Result<DmarcRow> Make(const postern_dmarc_row_options& options) {
    postern_dmarc_row* row = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_dmarc_row_new(&row, &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcRow(row);
  }
  // Takes over `row`.
  explicit DmarcRow(postern_dmarc_row* row) : row_(row) {}

  // The results of signatures and of SPF, and why something else was done than was asked for.
  Result<Done> AddDkim(const std::string& domain, const std::string& selector,
                       const std::string& result, const std::string& human_result = {}) {
    postern_error* error = nullptr;
    return Check(postern_dmarc_row_add_dkim(row_.get(), domain.c_str(), selector.c_str(),
                                            result.c_str(), human_result.c_str(), &error),
                 error);
  }
  Result<Done> AddSpf(const std::string& domain, const std::string& result,
                      const std::string& human_result = {}) {
    postern_error* error = nullptr;
    return Check(postern_dmarc_row_add_spf(row_.get(), domain.c_str(), result.c_str(),
                                           human_result.c_str(), &error),
                 error);
  }
  Result<Done> AddReason(const std::string& type, const std::string& comment = {}) {
    postern_error* error = nullptr;
    return Check(postern_dmarc_row_add_reason(row_.get(), type.c_str(), comment.c_str(), &error),
                 error);
  }
  const postern_dmarc_row* get() const { return row_.get(); }

 private:
  static Result<Done> Check(postern_status status, postern_error* error) {
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  struct Free {
    void operator()(postern_dmarc_row* row) const { postern_dmarc_row_free(row); }
  };
  std::unique_ptr<postern_dmarc_row, Free> row_;
};

// DmarcReport collects rows about one domain and writes them.
class DmarcReport {
 public:
  // About begins a report about `policy_domain`, which publishes `record`.
  static Result<DmarcReport> About(std::string_view policy_domain, std::string_view record,
                                   const postern_dmarc_report_options& options) {
    postern_dmarc_report* report = nullptr;
    postern_error* error = nullptr;
    const postern_status status =
        postern_dmarc_report_new(&report, policy_domain.data(), policy_domain.size(), record.data(),
                                 record.size(), &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return DmarcReport(report);
  }
  // Takes over `report`.
  explicit DmarcReport(postern_dmarc_report* report) : report_(report) {}

  // Add counts `row`, together with those that are alike; POSTERN_ERR_LIMIT past max_rows.
  Result<Done> Add(const DmarcRow& row) {
    postern_error* error = nullptr;
    const postern_status status = postern_dmarc_report_add(report_.get(), row.get(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  // Xml is the report as it stands, uncompressed.
  Result<std::string> Xml() const {
    postern_buf text{};
    postern_error* error = nullptr;
    const postern_status status = postern_dmarc_report_xml(report_.get(), &text, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&text);
  }
  // Mail is the whole message that carries the report.
  Result<std::string> Mail(const std::string& receiver, const std::string& from,
                           const std::vector<std::string_view>& to,
                           long long date_unix_s = 0) const {
    std::vector<postern_str> addresses;
    for (std::string_view address : to)
      addresses.push_back(postern_str{address.data(), address.size()});
    postern_dmarc_mail_options options = POSTERN_DMARC_MAIL_OPTIONS_INIT;
    options.receiver = receiver.c_str();
    options.from = from.c_str();
    options.to = addresses.data();
    options.to_count = addresses.size();
    options.date_unix_s = date_unix_s;
    postern_buf text{};
    postern_error* error = nullptr;
    const postern_status status = postern_dmarc_report_mail(report_.get(), &options, &text, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&text);
  }

 private:
  struct Free {
    void operator()(postern_dmarc_report* report) const { postern_dmarc_report_free(report); }
  };
  std::unique_ptr<postern_dmarc_report, Free> report_;
};

}  // namespace postern

#endif  // POSTERN_DMARC_HPP
