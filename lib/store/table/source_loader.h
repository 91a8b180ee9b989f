// The SourceLoader of real files.
#pragma once

#include <string>

#include "lib/core/policy/parse.h"
#include "lib/rt/files.h"
#include "lib/store/table/tables.h"

namespace postern::store {

// FileSourceLoader reads smtpd.conf and what it includes through rt::Files. Blocks: parse on the
// pool.
class FileSourceLoader final : public policy::SourceLoader {
 public:
  explicit FileSourceLoader(rt::Files* files, uint64_t limit_bytes = 16 << 20)
      : files_(files), limit_bytes_(limit_bytes) {}
  StatusOr<std::string> Load(const std::string& path) override {
    return ReadTextFile(*files_, path, limit_bytes_);
  }

 private:
  rt::Files* files_;
  uint64_t limit_bytes_;
};

}  // namespace postern::store
